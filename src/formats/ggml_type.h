#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace forerun {

// A tensor type as GGUF files number them. Every number ggml ever gave out is in the table, so that
// a file can be listed and an unsupported type called by its name; teaching the engine a type means
// giving its row a dtype.
struct GgmlType {
  uint32_t id;
  std::string_view name;
  int block_elements;  // 0: the type was withdrawn from the format, its layout is not known here
  int block_bytes;
  std::optional<DType> dtype;  // empty: not supported
};

// nullptr for a number that stands for nothing.
const GgmlType* find_ggml_type(uint32_t id);

const GgmlType& ggml_type_of(DType dtype);

// "F32, F16, Q4_0, …": the names, in the order of their numbers.
std::string supported_ggml_types();

}  // namespace forerun
