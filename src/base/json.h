#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

using Json = nlohmann::json;

// Parses text that may come from a stranger: deeper nesting than `max_depth`, bad UTF-8 or bad
// syntax is an Error that says where; nothing throws.
Result<Json> parse_json(std::string_view text, int max_depth = 64);

// Reads and parses a whole file.
Result<Json> read_json_file(const std::string& path, int max_depth = 64);

}  // namespace forerun
