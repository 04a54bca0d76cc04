#include "kernels/cpu/attention_inl.h"
#include "kernels/cpu/backends.h"

namespace forerun {
namespace {

// vdpbf16ps: a lane adds the products of one pair, keys 16 to a vector, or dimensions 16 to a
// vector.
struct Bf16Dot {
  using Operand = uint16_t;

  static constexpr KvType kStored = KvType::kBF16;

  static void convert_row(const float* row, int64_t count, uint16_t* out) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                          (__m256i)_mm512_cvtneps_pbh(F32x16::load(row + i).v));
    }
    for (; i < count; ++i) out[i] = f32_to_bf16(row[i]);
  }
  static constexpr int kExpDegree = 5;  // far inside bf16's half unit of 2^-9
  // A lane sums the rounded weights of one pair of positions.
  static F32x16 store_weights(F32x16 low, F32x16 high, uint16_t* out, F32x16 total) {
    const __m512bh weights = _mm512_cvtne2ps_pbh(high.v, low.v);
    _mm512_storeu_si512(out, (__m512i)weights);
    const auto ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    return {_mm512_dpbf16_ps(total.v, weights, ones)};
  }

  static __m512bh broadcast(const uint16_t* pair) {
    int32_t bits;
    std::memcpy(&bits, pair, sizeof(bits));
    return (__m512bh)_mm512_set1_epi32(bits);
  }
  static __m512bh load(const uint8_t* p) { return (__m512bh)_mm512_loadu_si512(p); }

  // Rows by 32 keys of kPages pages: 24 of the 32 registers, so that each of the two ports has as
  // many independent sums as an instruction takes cycles.
  template <int kRows, int kPages>
  static void score_rows(const uint16_t* q, int64_t head_dim, const uint8_t* const* pages,
                         const uint8_t* const* ahead, float* scores) {
    __m512 acc[kPages][2][kRows];
    for (int p = 0; p < kPages; ++p) {
      for (int r = 0; r < kRows; ++r) acc[p][0][r] = acc[p][1][r] = _mm512_setzero_ps();
    }
    for (int64_t pair = 0; pair < head_dim / 2; ++pair) {
      __m512bh keys[kPages][2];
      for (int p = 0; p < kPages; ++p) {
        keys[p][0] = load(pages[p] + pair * 128);
        keys[p][1] = load(pages[p] + pair * 128 + 64);
        fetch(ahead[p] + pair * 128, 128);
      }
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512bh query = broadcast(q + r * head_dim + 2 * pair);
        for (int p = 0; p < kPages; ++p) {
          acc[p][0][r] = _mm512_dpbf16_ps(acc[p][0][r], keys[p][0], query);
          acc[p][1][r] = _mm512_dpbf16_ps(acc[p][1][r], keys[p][1], query);
        }
      }
    }
    for (int p = 0; p < kPages; ++p) {
      for (int r = 0; r < kRows; ++r) {
        float* out = scores + r * kPartitionTokens + p * kPageTokens;
        _mm512_storeu_ps(out, acc[p][0][r]);
        _mm512_storeu_ps(out + 16, acc[p][1][r]);
      }
    }
  }

  template <int kPages>
  static void score_pages(const uint16_t* q, int num_rows, int64_t head_dim,
                          const uint8_t* const* pages, const uint8_t* const* ahead, float* scores) {
    constexpr int kMostRows = 12 / kPages;
    int r = 0;
    const auto take = [&]<int kRows>() {
      for (; r + kRows <= num_rows; r += kRows) {
        score_rows<kRows, kPages>(q + r * head_dim, head_dim, pages, r == 0 ? ahead : pages,
                                  scores + r * kPartitionTokens);
      }
    };
    take.template operator()<kMostRows>();
    if constexpr (kMostRows > 6) take.template operator()<6>();
    take.template operator()<3>();
    take.template operator()<1>();
  }

  static int64_t pages_together(int num_rows) { return num_rows <= 6 ? 2 : 1; }
  static void scores(const uint16_t* q, int num_rows, int64_t head_dim, const uint8_t* const* pages,
                     int64_t num_pages, const uint8_t* const* ahead, uint16_t* /*scratch*/,
                     float* scores) {
    if (num_pages == 2) {
      score_pages<2>(q, num_rows, head_dim, pages, ahead, scores);
    } else {
      score_pages<1>(q, num_rows, head_dim, pages, ahead, scores);
    }
  }

  // Rows by 64 dimensions. Six rows take 24 registers.
  template <int kRows, int kVectors>
  static void accumulate_rows(const uint16_t* p, int64_t head_dim, const uint8_t* values,
                              const uint8_t* ahead, float* const* out, int64_t d) {
    __m512 acc[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kVectors; ++c) acc[r][c] = _mm512_loadu_ps(out[r] + d + 16 * c);
    }
    for (int pair = 0; pair < kPageTokens / 2; ++pair) {
      const uint8_t* row = values + (pair * head_dim + d) * 4;
      __m512bh value[kVectors];
      for (int c = 0; c < kVectors; ++c) value[c] = load(row + 64 * c);
      fetch(ahead + (pair * head_dim + d) * 4, 64 * kVectors);
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
                                 const uint8_t* values, const uint8_t* ahead, float* const* out,
                                 int64_t d) {
    take_rows<6, 3, 1>(num_rows, [&]<int kRows>(int r) {
      accumulate_rows<kRows, kVectors>(p + r * kWeightStride<Bf16Dot>, head_dim, values,
                                       r == 0 ? ahead : values, out + r, d);
    });
  }

  static void accumulate(const uint16_t* p, int num_rows, int64_t head_dim, const uint8_t* values,
                         const uint8_t* ahead, uint16_t* /*scratch*/, float* const* out) {
    int64_t d = 0;
    for (; d + 64 <= head_dim; d += 64) {
      accumulate_columns<4>(p, num_rows, head_dim, values, ahead, out, d);
    }
    for (; d < head_dim; d += 16)
      accumulate_columns<1>(p, num_rows, head_dim, values, ahead, out, d);
  }
};

}  // namespace

const AttentionOps& attention_bf16(KvType type) {
  if (type == KvType::kBF16) return kAttentionOps<Bf16Dot>;
  return attention_vnni(type);
}

}  // namespace forerun
