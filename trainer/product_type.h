#pragma once

#include <cstdint>

#include "aten.h"

namespace forerun {

// What the matrix products of training are computed in; everything else is f32.
enum class ProductType : uint8_t {
  kAuto,  // bf16 where that is faster
  kF32,
  kBf16,
};

// Whether products are computed in bf16 with the threads that are set. kAuto asks whether the
// processor has instructions for it, and then measures whether the library makes use of them.
bool uses_bf16(ProductType type);

// Operations per second of the library's product of two matrices of size × size, the best of a few,
// with the threads that are set.
double measure_product_rate(at::ScalarType type, int64_t size = 2048);

}  // namespace forerun
