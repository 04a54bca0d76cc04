#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/ops_avx512_inl.h"

namespace forerun {
namespace {

struct VnniOps : Avx512Lanes {
  // 8 unpacked weights, scale and min, 16 sums: 26 of 32 registers, the rest for the dot products
  // in flight.
  static constexpr int kMaxRows = 8;

  template <DType dtype>
  struct Weights {
    explicit Weights(const uint8_t* vectors) {
      if constexpr (dtype == DType::kQ8_0) {
        for (int j = 0; j < 8; ++j) unpacked[j] = load_vector(vectors + 64 * j);
      } else {
        unpack_nibbles(vectors, unpacked);
      }
    }

    __m512i dot(const int8_t* x, int32_t sum) const {
      __m512i acc = _mm512_setzero_si512();
      // The weights stand shifted into unsigned; starting from −offset · sum undoes it exactly.
      if constexpr (dtype == DType::kQ8_0) acc = _mm512_set1_epi32(-128 * sum);
      if constexpr (dtype == DType::kQ4_0) acc = _mm512_set1_epi32(-8 * sum);
      for (int j = 0; j < 8; ++j) {
        acc = _mm512_dpbusd_epi32(acc, unpacked[j], broadcast_quad(x + 4 * j));
      }
      return acc;
    }

    __m512i unpacked[8];
  };
};

}  // namespace

void matmul_vnni(const MatmulArgs& args) { matmul_with<VnniOps>(args); }

}  // namespace forerun
