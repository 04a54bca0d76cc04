#pragma once

#include <immintrin.h>

#include <array>
#include <cstdint>

namespace forerun {

// For each mask of 8 lanes, the numbers of the lanes it selects, one per byte, first in the low
// byte: what vpermps needs to move them to the front.
constexpr std::array<uint64_t, 256> compress_orders() {
  std::array<uint64_t, 256> orders{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    int count = 0;
    for (uint64_t lane = 0; lane < 8; ++lane) {
      if ((mask >> lane & 1) != 0) orders[mask] |= lane << (8 * count++);
    }
  }
  return orders;
}
inline constexpr std::array<uint64_t, 256> kCompressOrders = compress_orders();

// Eight lanes; the operations are described at GenericLanes.
struct Avx2Lanes {
  static constexpr int kWidth = 8;
  using Float = __m256;
  using Int = __m256i;
  using Mask = __m256;  // all bits of a selected lane set
  struct Wide {
    Int high;
    Int low;
  };

  static Float load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Float a) { _mm256_storeu_ps(to, a); }
  static Float set(float a) { return _mm256_set1_ps(a); }
  static Int set_int(uint32_t a) { return _mm256_set1_epi32(static_cast<int>(a)); }
  static Int count_up() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  static void store_int(uint32_t* to, Int a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a);
  }

  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }

  static Int bits(Float a) { return _mm256_castps_si256(a); }
  static Float from_bits(Int a) { return _mm256_castsi256_ps(a); }
  static Int add_int(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int sub_int(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  static Int exclusive_or(Int a, Int b) { return _mm256_xor_si256(a, b); }
  template <int kCount>
  static Int shift_left(Int a) {
    return _mm256_slli_epi32(a, kCount);
  }
  template <int kCount>
  static Int shift_right(Int a) {
    return _mm256_srli_epi32(a, kCount);
  }
  template <int kCount>
  static Int shift_right_signed(Int a) {
    return _mm256_srai_epi32(a, kCount);
  }
  static Float to_float_signed(Int a) { return _mm256_cvtepi32_ps(a); }
  // There is no unsigned conversion; both halves and the product are exact, the sum rounds once.
  static Float to_float(Int a) {
    const Float high = _mm256_cvtepi32_ps(_mm256_srli_epi32(a, 16));
    const Float low = _mm256_cvtepi32_ps(_mm256_and_si256(a, _mm256_set1_epi32(0xFFFF)));
    return _mm256_add_ps(_mm256_mul_ps(high, _mm256_set1_ps(65536.0f)), low);
  }
  static Int truncate(Float a) { return _mm256_cvttps_epi32(a); }
  static Wide mul_wide(Int a, uint32_t b) {
    const Int factor = set_int(b);
    const Int even = _mm256_mul_epu32(a, factor);
    const Int odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
    return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA),
            _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA)};
  }

  static Mask greater(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
  static Mask greater_equal(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
  static Mask less_equal_signed(Int a, Int b) {
    return _mm256_castsi256_ps(_mm256_xor_si256(_mm256_cmpgt_epi32(a, b), _mm256_set1_epi32(-1)));
  }
  static Mask unordered(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_UNORD_Q); }
  static Mask none() { return _mm256_setzero_ps(); }
  static Mask either(Mask a, Mask b) { return _mm256_or_ps(a, b); }
  static Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
  static Float select(Mask mask, Float a, Float b) { return _mm256_blendv_ps(b, a, mask); }
  static Int select_int(Mask mask, Int a, Int b) {
    return _mm256_castps_si256(
        _mm256_blendv_ps(_mm256_castsi256_ps(b), _mm256_castsi256_ps(a), mask));
  }
  static uint32_t lane_bits(Mask mask) { return static_cast<uint32_t>(_mm256_movemask_ps(mask)); }
  static Mask mask_of(uint32_t lane_bits) {
    const Int own_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const Int kept = _mm256_and_si256(set_int(lane_bits), own_bit);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(kept, own_bit));
  }

  static void compress(float* to, Mask mask, Float a) {
    const auto order = static_cast<long long>(kCompressOrders.data()[lane_bits(mask)]);
    const Int lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(order));
    _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(a, lanes));
  }

  class IntegerSum {
   public:
    void add(Float a) {
      add_half(_mm256_castps256_ps128(a));
      add_half(_mm256_extractf128_ps(a, 1));
      count_ += kWidth;
    }
    uint64_t total() const {
      alignas(32) uint64_t lanes[4];
      _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sum_);
      return lanes[0] + lanes[1] + lanes[2] + lanes[3] - count_ * kShiftBits;
    }

   private:
    static constexpr uint64_t kShiftBits = 0x4330000000000000;  // 2^52
    void add_half(__m128 a) {
      const __m256d shifted = _mm256_add_pd(_mm256_cvtps_pd(a), _mm256_set1_pd(0x1p52));
      sum_ = _mm256_add_epi64(sum_, _mm256_castpd_si256(shifted));
    }
    __m256i sum_ = _mm256_setzero_si256();
    uint64_t count_ = 0;
  };
};

}  // namespace forerun
