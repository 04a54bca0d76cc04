#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace forerun {

// Row operations of BERT-type encoders. Lengths are multiples of 16 unless said otherwise. Sums run
// over 16 lanes, lane l taking the elements l, l + 16, … in ascending order, and are added up by a
// fixed tree, so that a row's bits depend on the row alone and not on the instruction set.

// out[i] = (x[i] − mean) / sqrt(variance + epsilon) · weight[i] + bias[i], the variance being the
// mean of (x − mean)². out may alias x.
using LayerNormFunction = void (*)(const float* x, const float* weight, const float* bias,
                                   float epsilon, int64_t size, float* out);

// x[i] ← x[i]/2 · (1 + erf(x[i] / √2)), right to 3e-7 · max(1, |x[i]|); NaN stays NaN.
using GeluErfFunction = void (*)(int64_t size, float* x);

// x[i] ← exp(factor · (x[i] − max)) / Σ exp(factor · (x[j] − max)) over i, j < size, any size, with
// factor > 0. Room and result go on to the next multiple of 16, where zeros are written.
using SoftmaxFunction = void (*)(float factor, int64_t size, float* x);

struct EncoderOps {
  LayerNormFunction layer_norm;
  GeluErfFunction gelu_erf;
  SoftmaxFunction softmax;
};

// `isa` is one of available_isas().
const EncoderOps& encoder_ops(Isa isa);

}  // namespace forerun
