#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace forerun {

// Turns a stored row of `num_elements` (a multiple of the type's block) into floats. This is the
// definition of every type's values: each weight is computed as tensor/quant_block.h writes it, in
// float, in that order, as ggml does, and kernels are tested against it. `row` needs no alignment.
void dequantize_row(DType dtype, const uint8_t* row, int64_t num_elements, float* out);

}  // namespace forerun
