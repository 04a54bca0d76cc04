// 16 lanes of AVX-512: what matmul_avx512.cc and matmul_vnni.cc share.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace forerun {
namespace {

struct Avx512Lanes {
  static constexpr int kLanes = 16;
  using F = __m512;
  using I = __m512i;

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
};

inline __m512i load_vector(const uint8_t* p) {
  return _mm512_loadu_si512(reinterpret_cast<const void*>(p));
}

// Four activations in every lane.
inline __m512i broadcast_quad(const int8_t* x) {
  int32_t quad;
  std::memcpy(&quad, x, sizeof(quad));
  return _mm512_set1_epi32(quad);
}

// Splits four vectors of nibbles into eight of bytes: inputs 0…15, then 16…31.
inline void unpack_nibbles(const uint8_t* vectors, __m512i* out) {
  const __m512i mask = _mm512_set1_epi8(0x0f);
  for (int j = 0; j < 4; ++j) {
    const __m512i packed = load_vector(vectors + 64 * j);
    out[j] = _mm512_and_si512(packed, mask);
    out[j + 4] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
  }
}

}  // namespace
}  // namespace forerun
