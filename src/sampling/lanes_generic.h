#pragma once

#include <bit>
#include <cstdint>

namespace forerun {

// The vector of one lane: the definition of what every other Lanes class computes in each lane.
//
// A Lanes class names the operations vocab_kernels_lanes.h is written in. None of them fuses a
// product with a sum, so that all of them, with IEEE arithmetic, give the same bits. `Int` is 32
// bits without a sign, except where an operation says otherwise.
struct GenericLanes {
  static constexpr int kWidth = 1;
  using Float = float;
  using Int = uint32_t;
  using Mask = bool;
  struct Wide {  // halves of 64-bit products
    Int high;
    Int low;
  };

  static Float load(const float* from) { return *from; }
  static void store(float* to, Float a) { *to = a; }
  static Float set(float a) { return a; }
  static Int set_int(uint32_t a) { return a; }
  static Int count_up() { return 0; }  // lane number
  static Int load_int(const uint32_t* from) { return *from; }
  static void store_int(uint32_t* to, Int a) { *to = a; }

  static Float add(Float a, Float b) { return a + b; }
  static Float sub(Float a, Float b) { return a - b; }
  static Float mul(Float a, Float b) { return a * b; }
  // The second operand where either is NaN.
  static Float max(Float a, Float b) { return a > b ? a : b; }
  static Float min(Float a, Float b) { return a < b ? a : b; }

  static Int bits(Float a) { return std::bit_cast<Int>(a); }
  static Float from_bits(Int a) { return std::bit_cast<Float>(a); }
  static Int add_int(Int a, Int b) { return a + b; }
  static Int sub_int(Int a, Int b) { return a - b; }
  static Int exclusive_or(Int a, Int b) { return a ^ b; }
  template <int kCount>
  static Int shift_left(Int a) {
    return a << kCount;
  }
  template <int kCount>
  static Int shift_right(Int a) {
    return a >> kCount;
  }
  template <int kCount>
  static Int shift_right_signed(Int a) {
    return static_cast<Int>(static_cast<int32_t>(a) >> kCount);
  }
  static Float to_float_signed(Int a) { return static_cast<float>(static_cast<int32_t>(a)); }
  static Float to_float(Int a) { return static_cast<float>(a); }
  static Int truncate(Float a) { return static_cast<Int>(static_cast<int32_t>(a)); }  // |a| < 2^31
  static Wide mul_wide(Int a, uint32_t b) {
    const uint64_t product = uint64_t{a} * b;
    return {static_cast<Int>(product >> 32), static_cast<Int>(product)};
  }

  static Mask greater(Float a, Float b) { return a > b; }
  static Mask greater_equal(Float a, Float b) { return a >= b; }
  static Mask less_equal_signed(Int a, Int b) {
    return static_cast<int32_t>(a) <= static_cast<int32_t>(b);
  }
  static Mask unordered(Float a, Float b) { return a != a || b != b; }
  static Mask none() { return false; }
  static Mask either(Mask a, Mask b) { return a || b; }
  static Mask both(Mask a, Mask b) { return a && b; }
  static Float select(Mask mask, Float a, Float b) { return mask ? a : b; }
  static Int select_int(Mask mask, Int a, Int b) { return mask ? a : b; }
  static uint32_t lane_bits(Mask mask) { return mask ? 1 : 0; }  // lane 0 lowest
  static Mask mask_of(uint32_t lane_bits) { return (lane_bits & 1) != 0; }

  // Writes the selected lanes one after another; may write up to kWidth floats.
  static void compress(float* to, Mask mask, Float a) {
    if (mask) *to = a;
  }

  // A sum of numbers from 0 to 2^40, each rounded to an integer, so that the sum is exact and does
  // not depend on any order. From 2^52 on a double's last bit is worth 1: added to it, a number
  // leaves its integer in the low bits. What 2^52 adds itself is taken off at the end.
  class IntegerSum {
   public:
    void add(Float a) {
      sum_ += std::bit_cast<uint64_t>(static_cast<double>(a) + 0x1p52);
      ++count_;
    }
    uint64_t total() const { return sum_ - count_ * kShiftBits; }

   private:
    static constexpr uint64_t kShiftBits = 0x4330000000000000;  // 2^52
    uint64_t sum_ = 0;
    uint64_t count_ = 0;
  };
};

}  // namespace forerun
