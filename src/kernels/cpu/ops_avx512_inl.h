// 16 lanes of AVX-512: what matmul_avx512.cc, matmul_vnni.cc and the tile form share.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/cpu/matmul_weights_inl.h"

namespace forerun {
namespace {

struct Avx512Lanes {
  static constexpr int kLanes = 16;
  using F = __m512;
  using I = __m512i;
  using B = __m512i;

  static F zero() { return _mm512_setzero_ps(); }
  static F broadcast(float value) { return _mm512_set1_ps(value); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load_f16(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F to_float(I v) { return _mm512_cvtepi32_ps(v); }

  static I load_i8(const uint8_t* p) { return _mm512_cvtepi8_epi32(load_16_bytes(p)); }
  template <int high>
  static I load_nibbles(const uint8_t* p) {
    const __m512i bytes = _mm512_cvtepu8_epi32(load_16_bytes(p));
    return _mm512_and_si512(_mm512_srli_epi32(bytes, 4 * high), _mm512_set1_epi32(15));
  }
  static I load_nibble_pairs(const uint8_t* p) {
    const __m512i bytes = _mm512_cvtepu8_epi32(load_16_bytes(p));
    return _mm512_and_si512(_mm512_or_si512(bytes, _mm512_slli_epi32(bytes, 12)),
                            _mm512_set1_epi32(0x000f000f));
  }
  static I dot_pairs(I pairs, const int16_t* sums) {
    int32_t both;
    std::memcpy(&both, sums, sizeof(both));
    return _mm512_madd_epi16(pairs, _mm512_set1_epi32(both));
  }
  static I broadcast_i32(int32_t value) { return _mm512_set1_epi32(value); }
  // Of products with unsigned weights.
  template <DType dtype>
  static I start(int32_t sum) {
    return broadcast_i32(-Quant<dtype>::kOffset * sum);
  }

  static B load_bytes(const uint8_t* p) {
    return _mm512_loadu_si512(reinterpret_cast<const void*>(p));
  }
  template <int n>
  static B shift(B v) {
    if constexpr (n == 0) return v;
    if constexpr (n > 0) return _mm512_slli_epi16(v, n);
    return _mm512_srli_epi16(v, n < 0 ? -n : 0);
  }
  static B keep(B v, int mask) {
    return _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(mask)));
  }
  static B merge(B low, B v, int mask) {
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    return _mm512_ternarylogic_epi32(low, v, _mm512_set1_epi8(static_cast<char>(mask)), kOrAnd);
  }
  static B codebook(B v) {
    const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kCodebook));
    const __m128i flipped = _mm_xor_si128(levels, _mm_set1_epi8(static_cast<char>(0x80)));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(flipped), v);
  }
  // Four activations in every lane.
  static B broadcast_quad(const int8_t* x) {
    int32_t quad;
    std::memcpy(&quad, x, sizeof(quad));
    return _mm512_set1_epi32(quad);
  }

 private:
  static __m128i load_16_bytes(const uint8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
};

}  // namespace
}  // namespace forerun
