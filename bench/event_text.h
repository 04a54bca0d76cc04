#pragma once

#include <cstdint>
#include <string_view>

namespace forerun {

// Whether an event of a stream of completions or chat completions carries text. Found by looking
// for the field, not by parsing: a load client on the machine it measures has to be frugal.
bool carries_text(std::string_view event);

// The usage's completion_tokens; 0 where there is none.
int64_t completion_tokens(std::string_view json);

}  // namespace forerun
