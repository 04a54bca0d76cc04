#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/matmul_pairs_inl.h"

namespace forerun {
namespace {

__m128i load_8_bytes(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}

struct Avx2Ops : PairDots<Avx2Ops> {
  static constexpr int kLanes = 8;
  static constexpr int kMaxRows = 4;  // 16 registers: 8 weights, 4 sums, the rest in flight
  static constexpr int kMaxHalvedRows = 4;
  static constexpr int kMaxPairedRows = 0;
  static constexpr int kMaxPairedHalvedRows = 0;
  using F = __m256;
  using I = __m256i;
  using B = __m256i;

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

  static I load_i8(const uint8_t* p) { return _mm256_cvtepi8_epi32(load_8_bytes(p)); }
  template <int high>
  static I load_nibbles(const uint8_t* p) {
    const __m256i bytes = _mm256_cvtepu8_epi32(load_8_bytes(p));
    return _mm256_and_si256(_mm256_srli_epi32(bytes, 4 * high), _mm256_set1_epi32(15));
  }
  static I load_nibble_pairs(const uint8_t* p) {
    const __m256i bytes = _mm256_cvtepu8_epi32(load_8_bytes(p));
    return _mm256_and_si256(_mm256_or_si256(bytes, _mm256_slli_epi32(bytes, 12)),
                            _mm256_set1_epi32(0x000f000f));
  }
  static I dot_pairs(I pairs, const int16_t* sums) {
    int32_t both;
    std::memcpy(&both, sums, sizeof(both));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi32(both));
  }
  static I broadcast_i32(int32_t value) { return _mm256_set1_epi32(value); }

  static B load_bytes(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  template <int n>
  static B shift(B v) {
    if constexpr (n == 0) return v;
    if constexpr (n > 0) return _mm256_slli_epi16(v, n);
    return _mm256_srli_epi16(v, n < 0 ? -n : 0);
  }
  static B keep(B v, int mask) {
    return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
  }
  static B merge(B low, B v, int mask) { return _mm256_or_si256(low, keep(v, mask)); }
  static B codebook(B v) {
    const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kCodebook));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(flip(levels)), v);
  }

  static B maddubs(B u, B s) { return _mm256_maddubs_epi16(u, s); }
  static B add_i16(B a, B b) { return _mm256_add_epi16(a, b); }
  static B add_i32(B a, B b) { return _mm256_add_epi32(a, b); }
  static B madd_ones(B v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }
  static B abs_i8(B v) { return _mm256_abs_epi8(v); }
  static B with_sign(B x, B w) { return _mm256_sign_epi8(x, w); }
  static B flip_top_bits(B v) {
    return _mm256_xor_si256(v, _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static B broadcast_quad(const int8_t* x) {
    int32_t quad;
    std::memcpy(&quad, x, sizeof(quad));
    return _mm256_set1_epi32(quad);
  }

 private:
  static __m128i flip(__m128i v) {
    return _mm_xor_si128(v, _mm_set1_epi8(static_cast<char>(0x80)));
  }
};

}  // namespace

void matmul_avx2(const MatmulArgs& args) {
  matmul_with<Avx2Ops>(args);
}

}  // namespace forerun
