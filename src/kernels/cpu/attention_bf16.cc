#include "kernels/cpu/attention_inl.h"
#include "kernels/cpu/backends.h"

namespace forerun {
namespace {

// vdpbf16ps: a lane adds the products of one pair, keys 16 to a vector, or dimensions 16 to a
// vector.
struct Bf16Dot {
  using Operand = uint16_t;

  static void convert_page(const uint16_t* f16, int64_t count, uint16_t* out,
                           const uint16_t* ahead) {
    for (int64_t i = 0; i < count; i += 32) {
      __builtin_prefetch(ahead + i);
      const __m512 low = F32x16::load_f16(f16 + i).v;
      const __m512 high = F32x16::load_f16(f16 + i + 16).v;
      _mm512_storeu_si512(out + i, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
  }
  static void convert_row(const float* row, int64_t count, uint16_t* out) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                          (__m256i)_mm512_cvtneps_pbh(F32x16::load(row + i).v));
    }
    for (; i < count; ++i) out[i] = f32_to_bf16(row[i]);
  }
  static F32x16 store_weights(F32x16 weights, uint16_t* out) {
    const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(weights.v);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), rounded);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16))};
  }

  static __m512bh broadcast(const uint16_t* pair) {
    int32_t bits;
    std::memcpy(&bits, pair, sizeof(bits));
    return (__m512bh)_mm512_set1_epi32(bits);
  }
  static __m512bh load(const uint16_t* p) { return (__m512bh)_mm512_loadu_si512(p); }

  // Rows by 32 keys. Twelve rows take 24 of the 32 registers.
  static constexpr int kScoreRows = 12;
  template <int kRows>
  static void score_rows(const uint16_t* q, int64_t head_dim, const uint16_t* keys,
                         float* scores) {
    __m512 low[kRows];
    __m512 high[kRows];
    for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm512_setzero_ps();
    for (int64_t pair = 0; pair < head_dim / 2; ++pair) {
      const __m512bh key_low = load(keys + pair * 64);
      const __m512bh key_high = load(keys + pair * 64 + 32);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512bh query = broadcast(q + r * head_dim + 2 * pair);
        low[r] = _mm512_dpbf16_ps(low[r], key_low, query);
        high[r] = _mm512_dpbf16_ps(high[r], key_high, query);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      _mm512_storeu_ps(scores + r * kPartitionTokens, low[r]);
      _mm512_storeu_ps(scores + r * kPartitionTokens + 16, high[r]);
    }
  }

  static void scores(const uint16_t* q, int num_rows, int64_t head_dim, const uint16_t* keys,
                     float* scores) {
    const auto rows_from = [&](int r) {
      return std::pair(q + r * head_dim, scores + r * kPartitionTokens);
    };
    int r = 0;
    for (; r + kScoreRows <= num_rows; r += kScoreRows) {
      const auto [query, out] = rows_from(r);
      score_rows<kScoreRows>(query, head_dim, keys, out);
    }
    for (; r + 6 <= num_rows; r += 6) {
      const auto [query, out] = rows_from(r);
      score_rows<6>(query, head_dim, keys, out);
    }
    for (; r + 3 <= num_rows; r += 3) {
      const auto [query, out] = rows_from(r);
      score_rows<3>(query, head_dim, keys, out);
    }
    for (; r < num_rows; ++r) {
      const auto [query, out] = rows_from(r);
      score_rows<1>(query, head_dim, keys, out);
    }
  }

  // Rows by 64 dimensions. Six rows take 24 registers.
  template <int kRows, int kVectors>
  static void accumulate_rows(const uint16_t* p, int64_t head_dim, const uint16_t* values,
                              float* const* out, int64_t d) {
    __m512 acc[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kVectors; ++c) acc[r][c] = _mm512_loadu_ps(out[r] + d + 16 * c);
    }
    for (int pair = 0; pair < kPageTokens / 2; ++pair) {
      const uint16_t* row = values + (pair * head_dim + d) * 2;
      __m512bh value[kVectors];
      for (int c = 0; c < kVectors; ++c) value[c] = load(row + 32 * c);
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        const __m512bh weight = broadcast(p + r * kWeightStride<Bf16Dot> + 2 * pair);
        for (int c = 0; c < kVectors; ++c) {
          acc[r][c] = _mm512_dpbf16_ps(acc[r][c], value[c], weight);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kVectors; ++c) _mm512_storeu_ps(out[r] + d + 16 * c, acc[r][c]);
    }
  }

  template <int kVectors>
  static void accumulate_columns(const uint16_t* p, int num_rows, int64_t head_dim,
                                 const uint16_t* values, float* const* out, int64_t d) {
    int r = 0;
    for (; r + 6 <= num_rows; r += 6) {
      accumulate_rows<6, kVectors>(p + r * kWeightStride<Bf16Dot>, head_dim, values, out + r, d);
    }
    for (; r + 3 <= num_rows; r += 3) {
      accumulate_rows<3, kVectors>(p + r * kWeightStride<Bf16Dot>, head_dim, values, out + r, d);
    }
    for (; r < num_rows; ++r) {
      accumulate_rows<1, kVectors>(p + r * kWeightStride<Bf16Dot>, head_dim, values, out + r, d);
    }
  }

  static void accumulate(const uint16_t* p, int num_rows, int64_t head_dim, const uint16_t* values,
                         float* const* out) {
    int64_t d = 0;
    for (; d + 64 <= head_dim; d += 64) {
      accumulate_columns<4>(p, num_rows, head_dim, values, out, d);
    }
    for (; d < head_dim; d += 16) accumulate_columns<1>(p, num_rows, head_dim, values, out, d);
  }
};

}  // namespace

const AttentionOps& attention_bf16() { return kAttentionOps<Bf16Dot>; }

}  // namespace forerun
