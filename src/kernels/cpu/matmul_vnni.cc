#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/ops_avx512_inl.h"

namespace forerun {
namespace {

struct VnniOps : Avx512Lanes {
  // Integer and float sums take two registers a row: 24 of 32, the rest for unpacked weights, scale
  // and min.
  static constexpr int kMaxRows = 12;
  static constexpr int kMaxPairedRows = 6;
  static constexpr int kMinPairedRows = 5;

  // Vector j of four holds inputs 4j … 4j+3 and 16+4j … 19+4j as nibbles, of eight inputs
  // 4j … 4j+3 as bytes.
  template <DType dtype, int kRows, int kPanels>
  static void dots(const uint8_t* vectors, int64_t panel_bytes, const int8_t* x, int64_t stride,
                   I (&dot)[kPanels][kRows]) {
    constexpr bool kNibbles = dtype != DType::kQ8_0;
    for (int p = 0; p < kPanels; ++p) {
      for (int r = 0; r < kRows; ++r) dot[p][r] = _mm512_setzero_si512();
    }
    const __m512i mask = _mm512_set1_epi8(0x0f);
#pragma GCC unroll 8
    for (int j = 0; j < (kNibbles ? 4 : 8); ++j) {
      __m512i low[kPanels];
      __m512i high[kPanels];
      for (int p = 0; p < kPanels; ++p) {
        low[p] = load_vector(vectors + p * panel_bytes + 64 * j);
        if constexpr (kNibbles) {
          high[p] = _mm512_and_si512(_mm512_srli_epi16(low[p], 4), mask);
          low[p] = _mm512_and_si512(low[p], mask);
        }
      }
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512i quad = broadcast_quad(x + r * stride + 4 * j);
        for (int p = 0; p < kPanels; ++p) dot[p][r] = _mm512_dpbusd_epi32(dot[p][r], low[p], quad);
      }
      if constexpr (kNibbles) {
#pragma GCC unroll 12
        for (int r = 0; r < kRows; ++r) {
          const __m512i quad = broadcast_quad(x + r * stride + 16 + 4 * j);
          for (int p = 0; p < kPanels; ++p) {
            dot[p][r] = _mm512_dpbusd_epi32(dot[p][r], high[p], quad);
          }
        }
      }
    }
  }

  template <DType dtype>
  static I without_offset(I dot, const int32_t& sum) {
    if constexpr (dtype == DType::kQ4_1) return dot;
    const __m512i sums = _mm512_set1_epi32(sum);
    return _mm512_sub_epi32(dot, _mm512_slli_epi32(sums, dtype == DType::kQ8_0 ? 7 : 3));
  }
};

}  // namespace

void matmul_vnni(const MatmulArgs& args) {
  matmul_with<VnniOps>(args);
}

}  // namespace forerun
