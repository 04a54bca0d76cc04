#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"

namespace forerun {
namespace {

__m256i load_vector(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

__m256i broadcast_quad(const int8_t* x) {
  int32_t quad;
  std::memcpy(&quad, x, sizeof(quad));
  return _mm256_set1_epi32(quad);
}

struct Avx2Ops {
  static constexpr int kLanes = 8;
  static constexpr int kMaxRows = 4;  // 16 registers: 8 weights, 4 sums, the rest in flight
  static constexpr int kMaxPairedRows = 0;
  using F = __m256;
  using I = __m256i;

  static F zero() { return _mm256_setzero_ps(); }
  static F broadcast(float value) { return _mm256_set1_ps(value); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static F load_f16(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F to_float(I v) { return _mm256_cvtepi32_ps(v); }

  template <DType dtype>
  struct Weights {
    explicit Weights(const uint8_t* vectors) {
      const __m256i mask = _mm256_set1_epi8(0x0f);
      if constexpr (dtype == DType::kQ8_0) {
        for (int j = 0; j < 8; ++j) {
          unpacked[j] = _mm256_xor_si256(load_vector(vectors + 64 * j),
                                         _mm256_set1_epi8(static_cast<char>(0x80)));
        }
      } else {
        for (int j = 0; j < 4; ++j) {
          const __m256i packed = load_vector(vectors + 64 * j);
          unpacked[j] = _mm256_and_si256(packed, mask);
          unpacked[j + 4] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask);
        }
      }
    }

    __m256i dot(const int8_t* x) const {
      const __m256i ones = _mm256_set1_epi16(1);
      if constexpr (dtype == DType::kQ8_0) {
        // |w| ≤ 128 times the activation with w's sign: pair sums stay below 2^15.
        __m256i acc = _mm256_setzero_si256();
        for (int j = 0; j < 8; ++j) {
          const __m256i with_sign = _mm256_sign_epi8(broadcast_quad(x + 4 * j), unpacked[j]);
          const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(unpacked[j]), with_sign);
          acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, ones));
        }
        return acc;
      }
      // 8 pair sums of at most 15·127·2 each fit in 16 bits.
      __m256i pairs = _mm256_setzero_si256();
      for (int j = 0; j < 8; ++j) {
        pairs =
            _mm256_add_epi16(pairs, _mm256_maddubs_epi16(unpacked[j], broadcast_quad(x + 4 * j)));
      }
      return _mm256_madd_epi16(pairs, ones);
    }

    __m256i unpacked[8];
  };

  template <DType dtype>
  static I without_offset(I dot, int32_t sum) {
    if constexpr (dtype != DType::kQ4_0) return dot;
    return _mm256_sub_epi32(dot, _mm256_set1_epi32(8 * sum));
  }
};

}  // namespace

void matmul_avx2(const MatmulArgs& args) {
  matmul_with<Avx2Ops>(args);
}

}  // namespace forerun
