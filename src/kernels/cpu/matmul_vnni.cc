#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/ops_avx512_inl.h"

namespace forerun {
namespace {

struct VnniOps : Avx512Lanes {
  // Integer and float sums take two registers a row, and a third where there are two scales a
  // block: 24 of 32, the rest for unpacked weights, scale and min.
  static constexpr int kMaxRows = 12;
  static constexpr int kMaxHalvedRows = 8;
  static constexpr int kMaxPairedRows = 6;
  static constexpr int kMaxPairedHalvedRows = 4;
  static constexpr int kMinPairedRows = 5;

  template <DType dtype, int kFirst, int kCount, int kRows, int kPanels>
  static void add_dots(const uint8_t* planes, int64_t panel_bytes, const int8_t* x, int64_t stride,
                       I (&dot)[kPanels][kRows]) {
    unrolled<kCount>([&](auto i) {
      // Quads q and q + 4 stand in one vector of nibbles.
      constexpr int kQuad = kCount == 8 ? i / 2 + i % 2 * 4 : kFirst + i;
      B weights[kPanels];
      for (int p = 0; p < kPanels; ++p) {
        weights[p] = weight_bytes<VnniOps, dtype, kQuad>(planes + p * panel_bytes);
      }
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512i quad = broadcast_quad(x + r * stride + 4 * kQuad);
        for (int p = 0; p < kPanels; ++p) {
          dot[p][r] = _mm512_dpbusd_epi32(dot[p][r], weights[p], quad);
        }
      }
    });
  }
};

}  // namespace

void matmul_vnni(const MatmulArgs& args) {
  matmul_with<VnniOps>(args);
}

}  // namespace forerun
