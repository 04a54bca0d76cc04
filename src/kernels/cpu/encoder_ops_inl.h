// The operations of kernels/encoder_ops.h, compiled once per instruction set.
#pragma once

#include <cmath>

#include "kernels/cpu/f32x16_inl.h"
#include "kernels/encoder_ops.h"

namespace forerun {
namespace {

inline float mean_of(const float* x, int64_t size) {
  F32x16 sum = F32x16::zero();
  for (int64_t i = 0; i < size; i += 16) sum = sum + F32x16::load(x + i);
  return sum.reduce_add() / static_cast<float>(size);
}

inline float variance_of(const float* x, float mean, int64_t size) {
  const F32x16 center = F32x16::broadcast(mean);
  F32x16 sum = F32x16::zero();
  for (int64_t i = 0; i < size; i += 16) {
    const F32x16 off = F32x16::load(x + i) - center;
    sum = F32x16::fma(off, off, sum);
  }
  return sum.reduce_add() / static_cast<float>(size);
}

inline void layer_norm(const float* x, const float* weight, const float* bias, float epsilon,
                       int64_t size, float* out) {
  const float mean = mean_of(x, size);
  const float variance = variance_of(x, mean, size);
  const F32x16 center = F32x16::broadcast(mean);
  const F32x16 inverse = F32x16::broadcast(1.0f / std::sqrt(variance + epsilon));
  for (int64_t i = 0; i < size; i += 16) {
    const F32x16 normed = (F32x16::load(x + i) - center) * inverse;
    F32x16::fma(normed, F32x16::load(weight + i), F32x16::load(bias + i)).store(out + i);
  }
}

// erfc(z) for z >= 0 within 1.5e-7: Abramowitz and Stegun, formula 7.1.26.
inline F32x16 erfc(F32x16 z) {
  const F32x16 one = F32x16::broadcast(1.0f);
  const F32x16 t = one / F32x16::fma(F32x16::broadcast(0.3275911f), z, one);
  constexpr float kCoefficients[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f,
                                     0.254829592f};
  F32x16 p = F32x16::zero();
  for (const float coefficient : kCoefficients) {
    p = F32x16::fma(p, t, F32x16::broadcast(coefficient));
  }
  return p * t * exp2(z * z * F32x16::broadcast(-1.44269504f));
}

inline void gelu_erf(int64_t size, float* x) {
  const F32x16 half = F32x16::broadcast(0.5f);
  const F32x16 one = F32x16::broadcast(1.0f);
  for (int64_t i = 0; i < size; i += 16) {
    const F32x16 v = F32x16::load(x + i);
    // (1 + erf(x / √2)) / 2, from the side where it is small.
    const F32x16 tail = half * erfc(v.abs() * F32x16::broadcast(0.70710678f));
    (v * (one - tail).replace_where_less(v, F32x16::zero(), tail)).store(x + i);
  }
}

inline float max_of(const float* x, int64_t size) {
  F32x16 largest = F32x16::broadcast(x[0]);
  int64_t i = 0;
  for (; i + 16 <= size; i += 16) largest = F32x16::max(largest, F32x16::load(x + i));
  float result = largest.reduce_max();
  for (; i < size; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

inline void softmax(float factor, int64_t size, float* x) {
  const int64_t padded = (size + 15) / 16 * 16;
  const float largest = max_of(x, size);
  // Far below everything else: their exponential is zero.
  for (int64_t i = size; i < padded; ++i) x[i] = -INFINITY;
  const F32x16 center = F32x16::broadcast(largest);
  const F32x16 power = F32x16::broadcast(factor * 1.44269504f);
  F32x16 sum = F32x16::zero();
  for (int64_t i = 0; i < padded; i += 16) {
    const F32x16 e = exp2((F32x16::load(x + i) - center) * power);
    e.store(x + i);
    sum = sum + e;
  }
  const F32x16 inverse = F32x16::broadcast(1.0f / sum.reduce_add());
  for (int64_t i = 0; i < padded; i += 16) (F32x16::load(x + i) * inverse).store(x + i);
}

constexpr EncoderOps kEncoderOps = {layer_norm, gelu_erf, softmax};

}  // namespace
}  // namespace forerun
