// Sixteen floats, in whatever registers the including source file is compiled for. Every operation
// gives the same bits on every instruction set; reductions use one fixed tree.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "tensor/float16.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace forerun {
namespace {

#if defined(__AVX512F__)

struct F32x16 {
  __m512 v;

  static F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static F32x16 load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static F32x16 load_bf16(const uint16_t* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
  }
  static F32x16 load_i8(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
  }
  static F32x16 load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
  }
  // The first (kPart 0) or second value of each of 16 pairs of bf16.
  template <int kPart>
  static F32x16 load_bf16_part(const uint16_t* p) {
    const __m512i pairs = _mm512_loadu_si512(p);
    if constexpr (kPart == 0) return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))};
    return {_mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(~0xffff)))};
  }
  static F32x16 broadcast(float value) { return {_mm512_set1_ps(value)}; }
  static F32x16 broadcast_pair(const float* p) {
    double pair;
    std::memcpy(&pair, p, sizeof(pair));
    return {_mm512_castpd_ps(_mm512_set1_pd(pair))};
  }
  static F32x16 broadcast_quad(const float* p) { return {_mm512_broadcast_f32x4(_mm_loadu_ps(p))}; }
  static F32x16 zero() { return {_mm512_setzero_ps()}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store_f16(uint16_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  void store_bf16(uint16_t* p) const {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i high = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
    rounded = _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), high,
                                   _mm512_set1_epi32(0x40));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
  }
  // Rounds to nearest even; the values are within −127 … 127.
  int32_t store_i8(int8_t* p) const {
    const __m512i rounded = _mm512_cvtps_epi32(v);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(rounded));
    return _mm512_reduce_add_epi32(rounded);
  }
  friend F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
  static F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  // b where either is NaN.
  static F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
  static F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
  F32x16 abs() const { return {_mm512_abs_ps(v)}; }
  F32x16 round() const {
    return {_mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // v · 2^n for integral n, both finite, the result normal.
  F32x16 scale_by_power(F32x16 n) const { return {_mm512_scalef_ps(v, n.v)}; }
  // `other` in the lanes where a < b.
  F32x16 replace_where_less(F32x16 a, F32x16 b, F32x16 other) const {
    return {_mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), other.v)};
  }
  // Lane i of the result: the sum of lanes 2i and 2i+1 of a (i < 8), then of b.
  static F32x16 add_pairs(F32x16 a, F32x16 b) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    return {_mm512_add_ps(_mm512_permutex2var_ps(a.v, even, b.v),
                          _mm512_permutex2var_ps(a.v, odd, b.v))};
  }
  float reduce_add() const {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 eighth = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(eighth, _mm_shuffle_ps(eighth, eighth, 1)));
  }
  float reduce_max() const { return _mm512_reduce_max_ps(v); }
};

#elif defined(__AVX2__)

struct F32x16 {
  __m256 lo, hi;

  static F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F32x16 load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  static F32x16 load_bf16(const uint16_t* p) {
    const auto widened = [](const uint16_t* halves) {
      const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves));
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    };
    return {widened(p), widened(p + 8)};
  }
  static F32x16 load_i8(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
  }
  static F32x16 load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
  }
  template <int kPart>
  static F32x16 load_bf16_part(const uint16_t* p) {
    const auto part = [](const uint16_t* pairs) {
      const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs));
      if constexpr (kPart == 0) return _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
      return _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(~0xffff)));
    };
    return {part(p), part(p + 16)};
  }
  static F32x16 broadcast(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static F32x16 broadcast_pair(const float* p) {
    double pair;
    std::memcpy(&pair, p, sizeof(pair));
    const __m256 both = _mm256_castpd_ps(_mm256_set1_pd(pair));
    return {both, both};
  }
  static F32x16 broadcast_quad(const float* p) {
    const __m256 both = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
    return {both, both};
  }
  static F32x16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  void store(float* p) const {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
  void store_f16(uint16_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8),
                     _mm256_cvtps_ph(hi, _MM_FROUND_TO_NEAREST_INT));
  }
  void store_bf16(uint16_t* p) const {
    alignas(32) float values[16];
    store(values);
    for (int i = 0; i < 16; ++i) p[i] = f32_to_bf16(values[i]);
  }
  int32_t store_i8(int8_t* p) const {
    alignas(32) int32_t rounded[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(rounded), _mm256_cvtps_epi32(lo));
    _mm256_store_si256(reinterpret_cast<__m256i*>(rounded + 8), _mm256_cvtps_epi32(hi));
    int32_t sum = 0;
    for (int i = 0; i < 16; ++i) {
      p[i] = static_cast<int8_t>(rounded[i]);
      sum += rounded[i];
    }
    return sum;
  }
  friend F32x16 operator+(F32x16 a, F32x16 b) {
    return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
  }
  friend F32x16 operator-(F32x16 a, F32x16 b) {
    return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
  }
  friend F32x16 operator*(F32x16 a, F32x16 b) {
    return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
  }
  friend F32x16 operator/(F32x16 a, F32x16 b) {
    return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
  }
  static F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  static F32x16 max(F32x16 a, F32x16 b) {
    return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
  }
  static F32x16 min(F32x16 a, F32x16 b) {
    return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
  }
  F32x16 abs() const {
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return {_mm256_and_ps(lo, mask), _mm256_and_ps(hi, mask)};
  }
  F32x16 round() const {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(lo, kNearest), _mm256_round_ps(hi, kNearest)};
  }
  F32x16 scale_by_power(F32x16 n) const {
    const auto scale = [](__m256 x, __m256 power) {
      const __m256i shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(power), 23);
      return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), shifted));
    };
    return {scale(lo, n.lo), scale(hi, n.hi)};
  }
  F32x16 replace_where_less(F32x16 a, F32x16 b, F32x16 other) const {
    return {_mm256_blendv_ps(lo, other.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
            _mm256_blendv_ps(hi, other.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
  }
  static F32x16 add_pairs(F32x16 a, F32x16 b) {
    const auto both = [](__m256 x, __m256 y) {
      const __m256d sums = _mm256_castps_pd(_mm256_hadd_ps(x, y));
      return _mm256_castpd_ps(_mm256_permute4x64_pd(sums, _MM_SHUFFLE(3, 1, 2, 0)));
    };
    return {both(a.lo, a.hi), both(b.lo, b.hi)};
  }
  float reduce_add() const {
    const __m256 half = _mm256_add_ps(lo, hi);
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 eighth = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(eighth, _mm_shuffle_ps(eighth, eighth, 1)));
  }
  float reduce_max() const {
    alignas(32) float values[8];
    _mm256_store_ps(values, _mm256_max_ps(lo, hi));
    float best = values[0];
    for (int i = 1; i < 8; ++i) best = values[i] > best ? values[i] : best;
    return best;
  }
};

#else

struct F32x16 {
  float v[16];

  template <class Function>
  static F32x16 each(Function function) {
    F32x16 out;
    for (int i = 0; i < 16; ++i) out.v[i] = function(i);
    return out;
  }
  static F32x16 load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  static F32x16 load_f16(const uint16_t* p) {
    return each([&](int i) { return f16_to_f32(p[i]); });
  }
  static F32x16 load_bf16(const uint16_t* p) {
    return each([&](int i) { return bf16_to_f32(p[i]); });
  }
  static F32x16 load_i8(const int8_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
  }
  static F32x16 load_u8(const uint8_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
  }
  template <int kPart>
  static F32x16 load_bf16_part(const uint16_t* p) {
    return each([&](int i) { return bf16_to_f32(p[2 * i + kPart]); });
  }
  static F32x16 broadcast(float value) {
    return each([&](int) { return value; });
  }
  static F32x16 broadcast_pair(const float* p) {
    return each([&](int i) { return p[i % 2]; });
  }
  static F32x16 broadcast_quad(const float* p) {
    return each([&](int i) { return p[i % 4]; });
  }
  static F32x16 zero() { return broadcast(0.0f); }
  void store(float* p) const { std::memcpy(p, v, sizeof(v)); }
  void store_f16(uint16_t* p) const {
    for (int i = 0; i < 16; ++i) p[i] = f32_to_f16(v[i]);
  }
  void store_bf16(uint16_t* p) const {
    for (int i = 0; i < 16; ++i) p[i] = f32_to_bf16(v[i]);
  }
  int32_t store_i8(int8_t* p) const {
    int32_t sum = 0;
    for (int i = 0; i < 16; ++i) {
      p[i] = static_cast<int8_t>(std::nearbyint(v[i]));
      sum += p[i];
    }
    return sum;
  }
  friend F32x16 operator+(const F32x16& a, const F32x16& b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  friend F32x16 operator-(const F32x16& a, const F32x16& b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  friend F32x16 operator*(const F32x16& a, const F32x16& b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  friend F32x16 operator/(const F32x16& a, const F32x16& b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
  }
  static F32x16 fma(const F32x16& a, const F32x16& b, const F32x16& c) {
    return each([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
  }
  static F32x16 max(const F32x16& a, const F32x16& b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F32x16 min(const F32x16& a, const F32x16& b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  F32x16 abs() const {
    return each([&](int i) { return std::fabs(v[i]); });
  }
  F32x16 round() const {
    return each([&](int i) { return std::nearbyint(v[i]); });
  }
  F32x16 scale_by_power(const F32x16& n) const {
    return each([&](int i) {
      const uint32_t shifted = static_cast<uint32_t>(static_cast<int32_t>(n.v[i])) << 23;
      return std::bit_cast<float>(std::bit_cast<uint32_t>(v[i]) + shifted);
    });
  }
  F32x16 replace_where_less(const F32x16& a, const F32x16& b, const F32x16& other) const {
    return each([&](int i) { return a.v[i] < b.v[i] ? other.v[i] : v[i]; });
  }
  static F32x16 add_pairs(const F32x16& a, const F32x16& b) {
    return each([&](int i) {
      const float* source = i < 8 ? a.v + 2 * i : b.v + 2 * (i - 8);
      return source[0] + source[1];
    });
  }
  float reduce_add() const {
    float sums[8];
    for (int i = 0; i < 8; ++i) sums[i] = v[i] + v[i + 8];
    for (int width = 4; width >= 1; width /= 2) {
      for (int i = 0; i < width; ++i) sums[i] = sums[i] + sums[i + width];
    }
    return sums[0];
  }
  float reduce_max() const {
    float best = v[0];
    for (int i = 1; i < 16; ++i) best = v[i] > best ? v[i] : best;
    return best;
  }
};

#endif

// 2^x by a polynomial of `kDegree`: 7 is right to about 2 units in the last place, 5 to 3e-6; 0
// below the smallest normal, and x is clipped at 127.
template <int kDegree = 7>
F32x16 exp2(F32x16 x) {
  const F32x16 lowest = F32x16::broadcast(-126.0f);
  const F32x16 clipped = F32x16::min(F32x16::max(x, lowest), F32x16::broadcast(127.0f));
  const F32x16 whole = clipped.round();
  const F32x16 f = clipped - whole;  // −0.5 … 0.5
  // Taylor coefficients ln(2)^k / k!
  constexpr float kCoefficients[] = {1.0f,          6.9314718e-1f, 2.4022651e-1f, 5.5504109e-2f,
                                     9.6181291e-3f, 1.3333558e-3f, 1.5403530e-4f, 1.5252734e-5f};
  F32x16 p = F32x16::broadcast(kCoefficients[kDegree]);
  for (int k = kDegree - 1; k >= 0; --k) {
    p = F32x16::fma(p, f, F32x16::broadcast(kCoefficients[k]));
  }
  return p.scale_by_power(whole).replace_where_less(x, lowest, F32x16::zero());
}

// cap · tanh(x / cap), right to about 2^-22 of the cap; NaN where x is not finite.
inline F32x16 soft_capped(F32x16 x, float cap) {
  const F32x16 one = F32x16::broadcast(1.0f);
  // tanh(t) = (e^2t − 1) / (e^2t + 1)
  const F32x16 power = exp2(x * F32x16::broadcast(2.0f * 1.44269504f / cap));
  const F32x16 capped = (power - one) / (power + one) * F32x16::broadcast(cap);
  return F32x16::fma(x, F32x16::zero(), capped);
}

}  // namespace
}  // namespace forerun
