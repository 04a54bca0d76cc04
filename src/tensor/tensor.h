#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace forerun {

// A borrowed view of a contiguous tensor, outermost dimension first: a matrix product's weight is
// [rows = outputs, columns = inputs]. The owner of `data` outlives the view.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const uint8_t* data = nullptr;

  int64_t num_elements() const;
  int64_t num_bytes() const { return row_bytes(dtype, num_elements()); }
};

// "[49152, 576]"
std::string to_string(const std::vector<int64_t>& shape);

}  // namespace forerun
