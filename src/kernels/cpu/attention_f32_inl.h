// Dot products in f32 over what is stored, widened: a lane holds one dimension of a cell and a key,
// or one position of a cell and a dimension; the lanes of a cell are added at the end.
#pragma once

#include "base/check.h"
#include "kernels/cpu/attention_inl.h"

namespace forerun {
namespace {

template <KvType type>
struct F32Dot {
  using Operand = float;
  static constexpr KvType kStored = type;
  static constexpr int kCell = elements_per_cell(type);
#if defined(__AVX512F__)
  static constexpr int kSums = 24;
#else
  static constexpr int kSums = 8;
#endif
  // Rows whose sums over 32 keys, and over 16 dimensions, fit in registers.
  static constexpr int kScoredRows = kSums / (2 * kCell);
  static constexpr int kAccumulatedRows = kSums / kCell;

  static F32x16 broadcast_cell(const float* p) {
    if constexpr (kCell == 2) return F32x16::broadcast_pair(p);
    return F32x16::broadcast_quad(p);
  }
  static F32x16 add_cells(const F32x16* sums) {
    if constexpr (kCell == 2) return F32x16::add_pairs(sums[0], sums[1]);
    return F32x16::add_pairs(F32x16::add_pairs(sums[0], sums[1]),
                             F32x16::add_pairs(sums[2], sums[3]));
  }

  // 16 elements; integers of keys are stored with 128 added.
  static F32x16 load(const uint8_t* page, int64_t i) {
    const auto* halves = reinterpret_cast<const uint16_t*>(page) + i;
    return type == KvType::kF16 ? F32x16::load_f16(halves) : F32x16::load_bf16(halves);
  }
  // The line of `ahead` that stands where 16 elements of the page being read do.
  static void fetch_line(const uint8_t* ahead, int64_t i) {
    const int64_t offset = i * element_bytes(type);
    if (offset % 64 == 0) fetch(ahead + offset, 64);
  }
  static void convert_keys(const uint8_t* page, const uint8_t* ahead, int64_t head_dim,
                           float* out) {
    for (int64_t i = 0; i < kPageTokens * head_dim; i += 16) {
      fetch_line(ahead, i);
      if constexpr (type == KvType::kInt8) {
        (F32x16::load_u8(page + i) - F32x16::broadcast(128.0f)).store(out + i);
      } else {
        load(page, i).store(out + i);
      }
    }
  }
  static void convert_values(const uint8_t* page, const uint8_t* ahead, int64_t head_dim,
                             float* out) {
    for (int64_t i = 0; i < kPageTokens * head_dim; i += 16) {
      fetch_line(ahead, i);
      if constexpr (type == KvType::kInt8) {
        const auto* scales = reinterpret_cast<const float*>(page + scales_offset(head_dim));
        const F32x16 scale = broadcast_cell(scales + i / (kCell * head_dim) * kCell);
        (F32x16::load_i8(reinterpret_cast<const int8_t*>(page) + i) * scale).store(out + i);
      } else {
        load(page, i).store(out + i);
      }
    }
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

  // Rows by 32 keys.
  template <int kRows>
  static void score_rows(const float* q, int64_t head_dim, const float* keys, float* scores) {
    F32x16 sums[kRows][2 * kCell];
    for (auto& row : sums) {
      for (F32x16& sum : row) sum = F32x16::zero();
    }
    for (int64_t d = 0; d < head_dim; d += kCell) {
      F32x16 key[2 * kCell];
      for (int c = 0; c < 2 * kCell; ++c) key[c] = F32x16::load(keys + d * kPageTokens + c * 16);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const F32x16 query = broadcast_cell(q + r * head_dim + d);
        for (int c = 0; c < 2 * kCell; ++c) sums[r][c] = F32x16::fma(query, key[c], sums[r][c]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      add_cells(sums[r]).store(scores + r * kPartitionTokens);
      add_cells(sums[r] + kCell).store(scores + r * kPartitionTokens + 16);
    }
  }

  static constexpr int64_t pages_together(int /*num_rows*/) { return 1; }
  static void scores(const float* q, int num_rows, int64_t head_dim, const uint8_t* const* pages,
                     int64_t /*num_pages*/, const uint8_t* const* ahead, float* keys,
                     float* scores) {
    convert_keys(pages[0], ahead[0], head_dim, keys);
    take_rows<kScoredRows, (kScoredRows + 1) / 2, 1>(num_rows, [&]<int kRows>(int r) {
      score_rows<kRows>(q + r * head_dim, head_dim, keys, scores + r * kPartitionTokens);
    });
    if constexpr (type == KvType::kInt8) scale_scores(num_rows, head_dim, pages[0], scores);
  }
  static void scale_scores(int num_rows, int64_t head_dim, const uint8_t* page, float* scores) {
    const auto* scales = reinterpret_cast<const float*>(page + scales_offset(head_dim));
    for (int r = 0; r < num_rows; ++r) {
      for (int64_t p = 0; p < kPageTokens; p += 16) {
        float* row = scores + r * kPartitionTokens + p;
        (F32x16::load(row) * F32x16::load(scales + p)).store(row);
      }
    }
  }

  // Rows by 16 dimensions. The positions of a cell meet once per page, so `out` is the sum of page
  // sums in ascending order.
  template <int kRows>
  static void accumulate_rows(const float* p, int64_t head_dim, const float* values,
                              float* const* out, int64_t d) {
    F32x16 sums[kRows][kCell];
    for (auto& row : sums) {
      for (F32x16& sum : row) sum = F32x16::zero();
    }
    for (int64_t position = 0; position < kPageTokens; position += kCell) {
      const float* row = values + position * head_dim + d * kCell;
      F32x16 value[kCell];
      for (int c = 0; c < kCell; ++c) value[c] = F32x16::load(row + 16 * c);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const F32x16 weight = broadcast_cell(p + r * kPartitionTokens + position);
        for (int c = 0; c < kCell; ++c) sums[r][c] = F32x16::fma(weight, value[c], sums[r][c]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      (F32x16::load(out[r] + d) + add_cells(sums[r])).store(out[r] + d);
    }
  }

  static void accumulate(const float* p, int num_rows, int64_t head_dim, const uint8_t* page,
                         const uint8_t* ahead, float* values, float* const* out) {
    convert_values(page, ahead, head_dim, values);
    for (int64_t d = 0; d < head_dim; d += 16) {
      take_rows<kAccumulatedRows, kAccumulatedRows / 2, (kAccumulatedRows + 3) / 4, 1>(
          num_rows, [&]<int kRows>(int r) {
            accumulate_rows<kRows>(p + r * kPartitionTokens, head_dim, values, out + r, d);
          });
    }
  }
};

inline const AttentionOps& attention_in_f32(KvType type) {
  switch (type) {
    case KvType::kF16:
      return kAttentionOps<F32Dot<KvType::kF16>>;
    case KvType::kBF16:
      return kAttentionOps<F32Dot<KvType::kBF16>>;
    case KvType::kInt8:
      return kAttentionOps<F32Dot<KvType::kInt8>>;
  }
  CHECK(false, "unknown type of keys and values");
}

}  // namespace
}  // namespace forerun
