#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/ops_avx512_inl.h"

namespace forerun {
namespace {

struct Avx512Ops : Avx512Lanes {
  static constexpr int kMaxRows = 8;
  static constexpr int kMaxPairedRows = 0;

  template <DType dtype>
  struct Weights {
    explicit Weights(const uint8_t* vectors) {
      if constexpr (dtype == DType::kQ8_0) {
        for (int j = 0; j < 8; ++j) {
          unpacked[j] = _mm512_xor_si512(load_vector(vectors + 64 * j),
                                         _mm512_set1_epi8(static_cast<char>(0x80)));
        }
      } else {
        unpack_nibbles(vectors, unpacked);
      }
    }

    __m512i dot(const int8_t* x) const {
      const __m512i ones = _mm512_set1_epi16(1);
      if constexpr (dtype == DType::kQ8_0) {
        // Unsigned × signed pairs would saturate (255·127·2); |w| ≤ 128 times the activation with
        // w's sign stays below 2^15.
        __m512i acc = _mm512_setzero_si512();
        for (int j = 0; j < 8; ++j) {
          const __m512i quad = broadcast_quad(x + 4 * j);
          const __m512i with_sign = _mm512_mask_sub_epi8(quad, _mm512_movepi8_mask(unpacked[j]),
                                                         _mm512_setzero_si512(), quad);
          const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(unpacked[j]), with_sign);
          acc = _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, ones));
        }
        return acc;
      }
      // 8 pair sums of at most 15·127·2 each fit in 16 bits.
      __m512i pairs = _mm512_setzero_si512();
      for (int j = 0; j < 8; ++j) {
        pairs =
            _mm512_add_epi16(pairs, _mm512_maddubs_epi16(unpacked[j], broadcast_quad(x + 4 * j)));
      }
      return _mm512_madd_epi16(pairs, ones);
    }

    __m512i unpacked[8];
  };

  template <DType dtype>
  static I without_offset(I dot, int32_t sum) {
    if constexpr (dtype != DType::kQ4_0) return dot;
    return _mm512_sub_epi32(dot, _mm512_set1_epi32(8 * sum));
  }
};

}  // namespace

void matmul_avx512(const MatmulArgs& args) {
  matmul_with<Avx512Ops>(args);
}

}  // namespace forerun
