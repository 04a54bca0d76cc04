#pragma once

#include <string>
#include <string_view>

namespace forerun {

// Text from a file made fit for a message or a terminal: in single quotes, control characters and
// invalid UTF-8 escaped, at most `max_bytes` of it followed by "…".
std::string quote(std::string_view text, size_t max_bytes = 80);

}  // namespace forerun
