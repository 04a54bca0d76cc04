// Pairwise dot products in f32: lanes hold (key, dimension parity), or (dimension, position
// parity); the two parities are added at the end.
#pragma once

#include "kernels/cpu/attention_inl.h"

namespace forerun {
namespace {

struct F32Dot {
  using Operand = float;

  static constexpr DType kStored = DType::kF16;
  static void store(F32x16 values, uint16_t* out) { values.store_f16(out); }
  static void convert_page(const uint16_t* stored, int64_t count, float* out) {
    for (int64_t i = 0; i < count; i += 16) F32x16::load_f16(stored + i).store(out + i);
  }
  static void convert_row(const float* row, int64_t count, float* out) {
    std::copy_n(row, count, out);
  }
  static constexpr int kExpDegree = 7;
  static F32x16 store_weights(F32x16 low, F32x16 high, float* out, F32x16 total) {
    low.store(out);
    high.store(out + 16);
    return total + low + high;
  }

  // Two rows by 32 keys: 8 accumulators.
  template <int kRows>
  static void score_rows(const float* q, int64_t head_dim, const float* keys, float* scores) {
    F32x16 acc[kRows][4];
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < 4; ++c) acc[r][c] = F32x16::zero();
    }
    for (int64_t pair = 0; pair < head_dim / 2; ++pair) {
      for (int c = 0; c < 4; ++c) {
        const F32x16 key = F32x16::load(keys + pair * 64 + c * 16);
        for (int r = 0; r < kRows; ++r) {
          const F32x16 query = F32x16::broadcast_pair(q + r * head_dim + 2 * pair);
          acc[r][c] = F32x16::fma(query, key, acc[r][c]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      F32x16::add_pairs(acc[r][0], acc[r][1]).store(scores + r * kPartitionTokens);
      F32x16::add_pairs(acc[r][2], acc[r][3]).store(scores + r * kPartitionTokens + 16);
    }
  }

  static constexpr int64_t pages_together(int /*num_rows*/) { return 1; }
  static void scores(const float* q, int num_rows, int64_t head_dim, const uint16_t* const* pages,
                     int64_t /*num_pages*/, float* keys, float* scores) {
    convert_page(pages[0], kPageTokens * head_dim, keys);
    int r = 0;
    for (; r + 2 <= num_rows; r += 2) {
      score_rows<2>(q + r * head_dim, head_dim, keys, scores + r * kPartitionTokens);
    }
    if (r < num_rows) {
      score_rows<1>(q + r * head_dim, head_dim, keys, scores + r * kPartitionTokens);
    }
  }

  // Sixteen dimensions of one row. Even and odd positions meet once per page, so `out` is the sum
  // of page sums in ascending order.
  static void accumulate(const float* p, int num_rows, int64_t head_dim, const uint16_t* page,
                         float* values, float* const* out) {
    convert_page(page, kPageTokens * head_dim, values);
    for (int r = 0; r < num_rows; ++r) {
      const float* weights = p + r * kPartitionTokens;
      for (int64_t d = 0; d < head_dim; d += 16) {
        F32x16 low = F32x16::zero();
        F32x16 high = F32x16::zero();
        for (int pair = 0; pair < kPageTokens / 2; ++pair) {
          const F32x16 weight = F32x16::broadcast_pair(weights + 2 * pair);
          const float* row = values + (pair * head_dim + d) * 2;
          low = F32x16::fma(weight, F32x16::load(row), low);
          high = F32x16::fma(weight, F32x16::load(row + 16), high);
        }
        (F32x16::load(out[r] + d) + F32x16::add_pairs(low, high)).store(out[r] + d);
      }
    }
  }
};

}  // namespace
}  // namespace forerun
