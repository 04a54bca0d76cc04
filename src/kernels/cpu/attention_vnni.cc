#include <immintrin.h>

#include "kernels/cpu/attention_inl.h"
#include "kernels/cpu/backends.h"

namespace forerun {
namespace {

// int8 keys and values by vpdpbusd. A query, and a row's weights in a partition, are integers of
// two digits, 256 · high + low, so that what is stored is what limits accuracy. Products are exact,
// and a digit's sums below 2^24 are so as floats.
constexpr int kDigits = 2;
constexpr float kDigit = 256.0f;
constexpr int kExpDegree = 5;  // inside a weight's half unit of 2^-17
constexpr int kPageBytesOfWeights = kDigits * kPageTokens;

__m512i load(const uint8_t* p) {
  return _mm512_loadu_si512(p);
}
__m512i broadcast_quad(const void* p) {
  int32_t quad;
  std::memcpy(&quad, p, sizeof(quad));
  return _mm512_set1_epi32(quad);
}
void store_bytes(__m512i values, void* p) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(values));
}
F32x16 in_digits(__m512i high, __m512i low) {
  return F32x16::fma(F32x16::broadcast(kDigit), {_mm512_cvtepi32_ps(high)},
                     {_mm512_cvtepi32_ps(low)});
}
const float* scales_of(const uint8_t* page, int64_t padded) {
  return reinterpret_cast<const float*>(page + scales_offset(padded));
}

// The rows of a pass. A row's four digits for a cell of dimensions stand at
//   digits + offset(cell, row, digit)
// so that all rows are reached from one pointer.
struct Queries {
  int8_t* digits;                         // [padded head_dim / 4][24 rows][2 digits][4], signed
  int32_t start[kMaxQueryRows][kDigits];  // takes off what the keys' 128 adds
  float scale[kMaxQueryRows];

  static constexpr int64_t kCellBytes = kMaxQueryRows * kDigits * 4;
  static constexpr int64_t offset(int row, int digit) { return (row * kDigits + digit) * 4; }
};

void spread_cells(__m512i sixteen, int8_t* first) {
  alignas(16) uint8_t bytes[16];
  store_bytes(sixteen, bytes);
  for (int cell = 0; cell < 4; ++cell) {
    std::memcpy(first + cell * Queries::kCellBytes, bytes + 4 * cell, 4);
  }
}

void quantise_query(const float* row, int64_t head_dim, int index, Queries& queries) {
  constexpr float kLargest = 127 * kDigit;
  const float largest = largest_of(row, head_dim);
  const F32x16 inverse = F32x16::broadcast(largest >= 0x1p-110f ? kLargest / largest : 0.0f);
  queries.scale[index] = largest / kLargest;
  __m512i sums[kDigits] = {};
  visit_vectors(row, head_dim, [&](int64_t d, F32x16 values) {
    const __m512i whole = _mm512_cvtps_epi32((values * inverse).v);
    // Balanced: the low digit is −128 … 127.
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(128)), 8);
    const __m512i low = _mm512_sub_epi32(whole, _mm512_slli_epi32(high, 8));
    int8_t* cells = queries.digits + d / 4 * Queries::kCellBytes;
    spread_cells(high, cells + Queries::offset(index, 0));
    spread_cells(low, cells + Queries::offset(index, 1));
    sums[0] = _mm512_add_epi32(sums[0], high);
    sums[1] = _mm512_add_epi32(sums[1], low);
  });
  for (int i = 0; i < kDigits; ++i) {
    queries.start[index][i] = -128 * _mm512_reduce_add_epi32(sums[i]);
  }
}

// Rows by 32 keys of kPages pages: up to 24 of the 32 registers.
template <int kRows, int kPages>
void score_rows(const Queries& queries, int first, int64_t padded, const uint8_t* const* pages,
                const uint8_t* const* ahead, float* scores) {
  __m512i sums[kPages][2][kDigits][kRows];
  for (int p = 0; p < kPages; ++p) {
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < kRows; ++r) {
        for (int i = 0; i < kDigits; ++i) {
          sums[p][half][i][r] = _mm512_set1_epi32(queries.start[first + r][i]);
        }
      }
    }
  }
  const int8_t* cell = queries.digits + Queries::offset(first, 0);
  for (int64_t d = 0; d < padded; d += 4, cell += Queries::kCellBytes) {
    __m512i keys[kPages][2];
    for (int p = 0; p < kPages; ++p) {
      keys[p][0] = load(pages[p] + d * kPageTokens);
      keys[p][1] = load(pages[p] + d * kPageTokens + 64);
      fetch(ahead[p] + d * kPageTokens, 128);
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kDigits; ++i) {
        const __m512i query = broadcast_quad(cell + Queries::offset(r, i));
        for (int p = 0; p < kPages; ++p) {
          for (int half = 0; half < 2; ++half) {
            __m512i& sum = sums[p][half][i][r];
            sum = _mm512_dpbusd_epi32(sum, keys[p][half], query);
          }
        }
      }
    }
  }
  for (int p = 0; p < kPages; ++p) {
    for (int half = 0; half < 2; ++half) {
      const F32x16 scale = F32x16::load(scales_of(pages[p], padded) + 16 * half);
      for (int r = 0; r < kRows; ++r) {
        float* out = scores + (first + r) * kPartitionTokens + p * kPageTokens + 16 * half;
        (in_digits(sums[p][half][0][r], sums[p][half][1][r]) *
         (F32x16::broadcast(queries.scale[first + r]) * scale))
            .store(out);
      }
    }
  }
}

void score_pages(const AttentionPass& pass, const Queries& queries, int64_t padded, Range pages,
                 float* scores) {
  const PageOrder order(pass, pages.begin, pages.end);
  const int64_t together = pass.num_rows <= 3 ? 2 : 1;
  for (int64_t page = pages.begin; page < pages.end; page += together) {
    const int64_t num_pages = std::min(together, pages.end - page);
    const uint8_t* ahead[2];
    for (int64_t i = 0; i < num_pages; ++i) {
      ahead[i] = order.after_keys(page + i);
      fetch(ahead[i] + scales_offset(padded), kPageTokens * sizeof(float));
    }
    const uint8_t* const* keys = pass.key_pages + page;
    float* out = scores + page * kPageTokens;
    take_rows<6, 3, 1>(pass.num_rows, [&]<int kRows>(int first) {
      const uint8_t* const* fetched = first == 0 ? ahead : keys;
      if constexpr (kRows <= 3) {
        if (num_pages == 2) return score_rows<kRows, 2>(queries, first, padded, keys, fetched, out);
      }
      score_rows<kRows, 1>(queries, first, padded, keys, fetched, out);
    });
  }
}

// A row's weights in a partition.
struct Weights {
  float sum;     // before the values' scales
  float factor;  // of the integers
};

// Turns a row's scores into weights times the values' scales, in integers: a page's 32 high digits,
// then its 32 low ones, each page where half of its scores stood.
Weights weigh(const AttentionPass& pass, float maximum, int64_t padded, Range pages, float* row) {
  constexpr float kLargest = 255 * kDigit;
  const F32x16 offset = weight_offset(maximum);
  F32x16 total = F32x16::zero();
  F32x16 most = F32x16::zero();
  for (int64_t page = pages.begin; page < pages.end; ++page) {
    const float* scales = scales_of(pass.value_pages[page], padded);
    for (int64_t i = 0; i < kPageTokens; i += 16) {
      float* at = row + page * kPageTokens + i;
      const F32x16 weight = exp2<kExpDegree>(F32x16::load(at) - offset);
      const F32x16 scaled = weight * F32x16::load(scales + i);
      total = total + weight;
      most = F32x16::max(most, scaled);
      scaled.store(at);
    }
  }
  const float largest = most.reduce_max();
  const F32x16 inverse = F32x16::broadcast(largest >= 0x1p-110f ? kLargest / largest : 0.0f);
  auto* digits = reinterpret_cast<uint8_t*>(row);
  for (int64_t page = pages.begin; page < pages.end; ++page) {
    __m512i whole[2];
    for (int half = 0; half < 2; ++half) {
      const F32x16 scaled = F32x16::load(row + page * kPageTokens + 16 * half) * inverse;
      whole[half] = _mm512_cvtps_epi32(scaled.v);
    }
    uint8_t* out = digits + page * kPageBytesOfWeights;
    for (int half = 0; half < 2; ++half) {
      store_bytes(_mm512_srli_epi32(whole[half], 8), out + 16 * half);
      store_bytes(whole[half], out + kPageTokens + 16 * half);
    }
  }
  return {total.reduce_add(), largest / kLargest};
}

// Rows by 16 · kVectors dimensions over all pages: up to 24 of the 32 registers.
template <int kRows, int kVectors>
void accumulate_rows(const AttentionPass& pass, int first_row, const float* factors, int64_t padded,
                     Range pages, const uint8_t* weights, int64_t d) {
  __m512i sums[kRows][kVectors][kDigits] = {};
  const PageOrder order(pass, pages.begin, pages.end);
  for (int64_t page = pages.begin; page < pages.end; ++page) {
    const uint8_t* values = pass.value_pages[page] + d * 4;
    const uint8_t* ahead = first_row == 0 ? order.after_values(page) + d * 4 : values;
    for (int64_t position = 0; position < kPageTokens; position += 4) {
      __m512i value[kVectors];
      for (int c = 0; c < kVectors; ++c) value[c] = load(values + position * padded + 64 * c);
      fetch(ahead + position * padded, 64 * kVectors);
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        const uint8_t* row = weights + (first_row + r) * kPartitionTokens * sizeof(float) +
                             page * kPageBytesOfWeights + position;
        for (int i = 0; i < kDigits; ++i) {
          const __m512i weight = broadcast_quad(row + i * kPageTokens);
          for (int c = 0; c < kVectors; ++c) {
            sums[r][c][i] = _mm512_dpbusd_epi32(sums[r][c][i], weight, value[c]);
          }
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    const F32x16 factor = F32x16::broadcast(factors[first_row + r]);
    for (int c = 0; c < kVectors; ++c) {
      (in_digits(sums[r][c][0], sums[r][c][1]) * factor)
          .store(pass.out[first_row + r] + d + 16 * c);
    }
  }
}

void accumulate(const AttentionPass& pass, const float* factors, int64_t padded, Range pages,
                const float* scores) {
  const auto* weights = reinterpret_cast<const uint8_t*>(scores);
  int64_t d = 0;
  for (; d + 64 <= padded; d += 64) {
    take_rows<3, 1>(pass.num_rows, [&]<int kRows>(int r) {
      accumulate_rows<kRows, 4>(pass, r, factors, padded, pages, weights, d);
    });
  }
  for (; d < padded; d += 16) {
    take_rows<6, 1>(pass.num_rows, [&]<int kRows>(int r) {
      accumulate_rows<kRows, 1>(pass, r, factors, padded, pages, weights, d);
    });
  }
}

void attention_pass_int8(AttentionPass& pass) {
  const int64_t padded = padded_head_dim(pass.head_dim);
  auto* scores = reinterpret_cast<float*>(pass.scratch);  // [24][256]
  Queries queries;
  queries.digits = reinterpret_cast<int8_t*>(scores + kMaxQueryRows * kPartitionTokens);
  for (int r = 0; r < pass.num_rows; ++r) {
    quantise_query(pass.query[r], pass.head_dim, r, queries);
  }
  const Range pages = pages_read(pass);
  score_pages(pass, queries, padded, pages, scores);
  float factors[kMaxQueryRows];
  for (int r = 0; r < pass.num_rows; ++r) {
    float* row = scores + r * kPartitionTokens;
    pass.maximum[r] = cap_and_mask(pass, r, pages, row);
    const Weights weights = weigh(pass, pass.maximum[r], padded, pages, row);
    pass.sum[r] = weights.sum;
    factors[r] = weights.factor;
  }
  accumulate(pass, factors, padded, pages, scores);
}

constexpr AttentionOps kInt8Ops = {KvType::kInt8, store_key_value<KvType::kInt8>,
                                   attention_pass_int8, merge_partition, finish_attention};

}  // namespace

const AttentionOps& attention_vnni(KvType type) {
  return type == KvType::kInt8 ? kInt8Ops : attention_avx512(type);
}

}  // namespace forerun
