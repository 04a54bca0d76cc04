#pragma once

#include <immintrin.h>

#include <cstdint>

namespace forerun {

// Sixteen lanes; the operations are described at GenericLanes.
struct Avx512Lanes {
  static constexpr int kWidth = 16;
  using Float = __m512;
  using Int = __m512i;
  using Mask = __mmask16;
  struct Wide {
    Int high;
    Int low;
  };

  static Float load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Float a) { _mm512_storeu_ps(to, a); }
  static Float set(float a) { return _mm512_set1_ps(a); }
  static Int set_int(uint32_t a) { return _mm512_set1_epi32(static_cast<int>(a)); }
  static Int count_up() {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  static void store_int(uint32_t* to, Int a) { _mm512_storeu_si512(to, a); }

  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }

  static Int bits(Float a) { return _mm512_castps_si512(a); }
  static Float from_bits(Int a) { return _mm512_castsi512_ps(a); }
  static Int add_int(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int sub_int(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static Int exclusive_or(Int a, Int b) { return _mm512_xor_si512(a, b); }
  template <int kCount>
  static Int shift_left(Int a) {
    return _mm512_slli_epi32(a, kCount);
  }
  template <int kCount>
  static Int shift_right(Int a) {
    return _mm512_srli_epi32(a, kCount);
  }
  template <int kCount>
  static Int shift_right_signed(Int a) {
    return _mm512_srai_epi32(a, kCount);
  }
  static Float to_float_signed(Int a) { return _mm512_cvtepi32_ps(a); }
  static Float to_float(Int a) { return _mm512_cvtepu32_ps(a); }
  static Int truncate(Float a) { return _mm512_cvttps_epi32(a); }
  static Wide mul_wide(Int a, uint32_t b) {
    constexpr auto kSwapPairs = static_cast<_MM_PERM_ENUM>(0xB1);
    const Int factor = set_int(b);
    const Int even = _mm512_mul_epu32(a, factor);
    const Int odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), factor);
    return {_mm512_mask_shuffle_epi32(odd, 0x5555, even, kSwapPairs),
            _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, kSwapPairs)};
  }

  static Mask greater(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  static Mask greater_equal(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  static Mask less_equal_signed(Int a, Int b) { return _mm512_cmple_epi32_mask(a, b); }
  static Mask unordered(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }
  static Mask none() { return 0; }
  static Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
  static Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
  static Float select(Mask mask, Float a, Float b) { return _mm512_mask_blend_ps(mask, b, a); }
  static Int select_int(Mask mask, Int a, Int b) { return _mm512_mask_blend_epi32(mask, b, a); }
  static uint32_t lane_bits(Mask mask) { return mask; }
  static Mask mask_of(uint32_t lane_bits) { return static_cast<Mask>(lane_bits); }

  // Through a register: vcompressps to memory is microcode on Zen 4.
  static void compress(float* to, Mask mask, Float a) {
    _mm512_storeu_ps(to, _mm512_maskz_compress_ps(mask, a));
  }

  class IntegerSum {
   public:
    void add(Float a) {
      add_half(_mm512_castps512_ps256(a));
      add_half(_mm512_extractf32x8_ps(a, 1));
      count_ += kWidth;
    }
    uint64_t total() const {
      alignas(64) uint64_t lanes[8];  // _mm512_reduce_add_epi64 adds signed numbers, which overflow
      _mm512_store_si512(lanes, sum_);
      uint64_t sum = 0;
      for (uint64_t lane : lanes) sum += lane;
      return sum - count_ * kShiftBits;
    }

   private:
    static constexpr uint64_t kShiftBits = 0x4330000000000000;  // 2^52
    void add_half(__m256 a) {
      const __m512d shifted = _mm512_add_pd(_mm512_cvtps_pd(a), _mm512_set1_pd(0x1p52));
      sum_ = _mm512_add_epi64(sum_, _mm512_castpd_si512(shifted));
    }
    __m512i sum_ = _mm512_setzero_si512();
    uint64_t count_ = 0;
  };
};

}  // namespace forerun
