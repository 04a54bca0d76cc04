#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/safetensors.h"

namespace forerun {

// What a safetensors header says of a tensor, before it is held against the file.
struct SafetensorsEntry {
  std::string name;
  const SafetensorsType* type = nullptr;
  std::vector<uint64_t> shape;  // outermost first; empty: one number
  uint64_t begin = 0;           // in the data section
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the file's order
  std::vector<std::pair<std::string, std::string>> metadata;
};

// Reads a header's JSON as a stream: what it costs is bounded by the tensors it names, and nesting
// beyond the format's own three levels ends it. An Error names the tensor and the field.
Result<SafetensorsHeader> read_safetensors_header(std::string_view json);

}  // namespace forerun
