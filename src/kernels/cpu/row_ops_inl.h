// The row operations of kernels/row_ops.h, compiled once per instruction set.
#pragma once

#include <cmath>

#include "kernels/cpu/f32x16_inl.h"
#include "kernels/row_ops.h"

namespace forerun {
namespace {

// A bf16 operand's rows are whole runs of so many.
constexpr int64_t kOperandInputs = 32;
constexpr float kLog2E = 1.44269504f;

inline float sum_of_squares(const float* x, int64_t size) {
  F32x16 acc[4] = {F32x16::zero(), F32x16::zero(), F32x16::zero(), F32x16::zero()};
  for (int64_t i = 0; i < size; i += 16) {
    const F32x16 v = F32x16::load(x + i);
    F32x16& lane = acc[i / 16 % 4];
    lane = F32x16::fma(v, v, lane);
  }
  return ((acc[0] + acc[1]) + (acc[2] + acc[3])).reduce_add();
}

inline void rms_norm(const float* x, const float* weight, float epsilon, int64_t size, float* out) {
  const float mean = sum_of_squares(x, size) / static_cast<float>(size);
  const F32x16 inverse = F32x16::broadcast(1.0f / std::sqrt(mean + epsilon));
  for (int64_t i = 0; i < size; i += 16) {
    (F32x16::load(x + i) * inverse * F32x16::load(weight + i)).store(out + i);
  }
}

inline void quantize_row(const float* x, int64_t size, const QuantizedRows& out) {
  for (int64_t b = 0; b < size / 32; ++b) {
    const F32x16 low = F32x16::load(x + 32 * b);
    const F32x16 high = F32x16::load(x + 32 * b + 16);
    const F32x16 zero = F32x16::zero();
    // 0 for finite inputs, NaN otherwise.
    const float poison = F32x16::fma(low, zero, high * zero).reduce_add();
    const float largest = F32x16::max(low.abs(), high.abs()).reduce_max();
    // Below 2^-120 the quotient would overflow, and 0 · ∞ make NaN of a block's zeros.
    const F32x16 inverse = F32x16::broadcast(largest >= 0x1p-120f ? 127.0f / largest : 0.0f);
    const F32x16 limit = F32x16::broadcast(127.0f);
    const auto clip = [&](F32x16 v) {
      return F32x16::min(F32x16::max(v * inverse, zero - limit), limit);
    };
    const int32_t low_sum = clip(low).store_i8(out.values + 32 * b);
    const int32_t high_sum = clip(high).store_i8(out.values + 32 * b + 16);
    const int32_t sum = low_sum + high_sum;
    const float scale = largest / 127.0f + poison;
    out.scale[b] = scale;
    out.sum[b] = sum;
    out.half_sum[2 * b] = static_cast<int16_t>(low_sum);
    out.half_sum[2 * b + 1] = static_cast<int16_t>(high_sum);
    out.scaled_sum[b] = scale * static_cast<float>(sum);
  }
}

inline void round_row(const float* x, int64_t size, uint16_t* out) {
  int64_t i = 0;
  for (; i + 16 <= size; i += 16) F32x16::load(x + i).store_bf16(out + i);
  for (; i < size; ++i) out[i] = f32_to_bf16(x[i]);
  for (; i % kOperandInputs != 0; ++i) out[i] = 0;
}

inline void silu_mul(const float* gate, const float* up, int64_t size, float* out) {
  const F32x16 one = F32x16::broadcast(1.0f);
  for (int64_t i = 0; i < size; i += 16) {
    const F32x16 g = F32x16::load(gate + i);
    const F32x16 exponential = exp2(g * F32x16::broadcast(-kLog2E));
    (g / (one + exponential) * F32x16::load(up + i)).store(out + i);
  }
}

inline void gelu_tanh_mul(const float* gate, const float* up, int64_t size, float* out) {
  const F32x16 one = F32x16::broadcast(1.0f);
  const F32x16 cubic = F32x16::broadcast(0.044715f);
  // x/2 · (1 + tanh(t)) = x / (1 + e^−2t); −2 · √(2/π) · log2(e)
  const F32x16 factor = F32x16::broadcast(-2.302208198f);
  for (int64_t i = 0; i < size; i += 16) {
    const F32x16 g = F32x16::load(gate + i);
    const F32x16 exponential = exp2(g * F32x16::fma(g * g, cubic, one) * factor);
    (g / (one + exponential) * F32x16::load(up + i)).store(out + i);
  }
}

inline void add(const float* x, int64_t size, float* out) {
  for (int64_t i = 0; i < size; i += 16) {
    (F32x16::load(out + i) + F32x16::load(x + i)).store(out + i);
  }
}

inline void soft_cap(float cap, int64_t size, float* x) {
  for (int64_t i = 0; i < size; i += 16) soft_capped(F32x16::load(x + i), cap).store(x + i);
}

inline void rope(const float* cosine, const float* sine, float factor, int64_t size, float* x) {
  const int64_t half = size / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = (a * cosine[i] - b * sine[i]) * factor;
    x[i + half] = (b * cosine[i] + a * sine[i]) * factor;
  }
}

constexpr RowOps kRowOps = {rms_norm,      quantize_row, round_row, silu_mul,
                            gelu_tanh_mul, add,          soft_cap,  rope};

}  // namespace
}  // namespace forerun
