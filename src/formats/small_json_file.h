#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace forerun {

// A text file of at most `max_bytes`. An Error names the file and the limit.
Result<std::string> read_small_file(const std::string& path, uint64_t max_bytes);

// A JSON file of at most `max_bytes` that holds an object: what it costs to parse is bounded by the
// limit. An Error names the file.
Result<Json> read_json_object(const std::string& path, uint64_t max_bytes);

}  // namespace forerun
