#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

using Json = nlohmann::json;

// What parsing a stranger's text may cost. A value takes up to a hundred bytes where its text takes
// two; an object that keeps its names' order (nlohmann::ordered_json) looks through them all for
// each new one.
struct JsonLimits {
  int max_depth = 64;
  size_t max_values = std::numeric_limits<size_t>::max();  // objects and lists count too
  // Comparisons of a new name with those before it, a long name's counting as several.
  size_t max_comparisons = std::numeric_limits<size_t>::max();
};

// An Error says which limit `text` goes beyond. Of what is not JSON only the part before is looked
// at, and that it is not is no error here. Takes no memory beyond a string's; nothing throws.
Status check_json_limits(std::string_view text, const JsonLimits& limits);

// Parses text that may come from a stranger: deeper nesting than `max_depth`, bad UTF-8 or bad
// syntax is an Error that says where; nothing throws.
Result<Json> parse_json(std::string_view text, int max_depth = 64);

// Reads and parses a whole file.
Result<Json> read_json_file(const std::string& path, int max_depth = 64);

}  // namespace forerun
