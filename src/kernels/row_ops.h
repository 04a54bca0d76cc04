#pragma once

#include <cstdint>

#include "kernels/quantized_rows.h"

namespace forerun {

// Operations on one row. Lengths are multiples of 16 (32 where the result is quantised). Sums run
// over 64 lanes, lane l taking the elements l, l + 64, … in ascending order, and are added up by a
// fixed tree, so that a row's bits depend on the row alone.

// out[i] = x[i] / sqrt(mean(x²) + epsilon) · weight[i]. out may alias x.
using RmsNormFunction = void (*)(const float* x, const float* weight, float epsilon, int64_t size,
                                 float* out);

// The first row of `out` from x, by blocks of 32: scale = max|x| / 127, values to nearest even. A
// block that stays below 2^-120 counts as zero. A NaN or an infinity in a block makes the block's
// scale NaN, so that it reaches the logits.
using QuantizeRowFunction = void (*)(const float* x, int64_t size, const QuantizedRows& out);

// The first row of a product's bf16 operand: out[i] = x[i] to nearest even, and zeros up to the
// next multiple of 32. Any size.
using RoundRowFunction = void (*)(const float* x, int64_t size, uint16_t* out);

// out[i] = gate[i] / (1 + exp(−gate[i])) · up[i]. out may alias either.
using SiluMulFunction = void (*)(const float* gate, const float* up, int64_t size, float* out);

// out[i] = gelu(gate[i]) · up[i], with gelu(x) = x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³))).
// out may alias either.
using GeluTanhMulFunction = void (*)(const float* gate, const float* up, int64_t size, float* out);

// out[i] += x[i].
using AddFunction = void (*)(const float* x, int64_t size, float* out);

// x[i] ← cap · tanh(x[i] / cap); NaN stays NaN, and so does an infinity become NaN.
using SoftCapFunction = void (*)(float cap, int64_t size, float* x);

// Rotates one head in place, first half against second half:
//   x[i] ← x[i]·cosine[i] − x[i+h]·sine[i],   x[i+h] ← x[i+h]·cosine[i] + x[i]·sine[i],   i < h
// and multiplies the result by `factor`. Any even size.
using RopeFunction = void (*)(const float* cosine, const float* sine, float factor, int64_t size,
                              float* x);

// One instruction set's row operations.
struct RowOps {
  RmsNormFunction rms_norm;
  QuantizeRowFunction quantize_row;
  RoundRowFunction round_row;
  SiluMulFunction silu_mul;
  GeluTanhMulFunction gelu_tanh_mul;
  AddFunction add;
  SoftCapFunction soft_cap;
  RopeFunction rope;
};

}  // namespace forerun
