// Dot products of quantised weights by pairs of unsigned × signed bytes: sets without a dot product
// of four. Beside what matmul_weights_inl.h asks for, `Ops` gives
//   maddubs(u, s)               sums of pairs of products, as int16
//   add_i16, add_i32, madd_ones(v)      sums of pairs of int16, as int32
//   broadcast_i32(value), abs_i8, with_sign(x, w), flip_top_bits(v), broadcast_quad(x)
#pragma once

#include "kernels/cpu/matmul_weights_inl.h"

namespace forerun {
namespace {

// Pair sums of at most 2·127·kLargest must stay below 2^15: as many are added up as fit. Bytes too
// large for a single one are taken as signed, less 128: |w| ≤ 128 times the activation with w's
// sign fits.
template <DType dtype>
constexpr int kPairSums = 32767 / (2 * 127 * Quant<dtype>::kLargest);
template <DType dtype>
constexpr bool kTakenAsSigned = kPairSums<dtype> == 0;

// Inputs 4·kFirst … of a block, 4·kCount of them, for one row after the other.
template <class Ops, DType dtype, int kFirst, int kCount>
struct PairedWeights {
  using B = typename Ops::B;

  explicit PairedWeights(const uint8_t* planes) {
    unrolled<kCount>([&](auto i) {
      bytes[i] = weight_bytes<Ops, dtype, kFirst + i>(planes);
      if constexpr (kTakenAsSigned<dtype>) bytes[i] = Ops::flip_top_bits(bytes[i]);
    });
  }

  B add_dot(const int8_t* x, B acc) const {
    if constexpr (kTakenAsSigned<dtype>) {
      return add_signed_dot(x, acc);
    } else {
      return add_unsigned_dot(x, acc);
    }
  }

  B add_unsigned_dot(const int8_t* x, B acc) const {
    constexpr int kFit = kPairSums<dtype>;
    static_assert(kFit >= 2);
    constexpr int kGroup = kFit >= kCount ? kCount : kFit >= 4 ? 4 : 2;
#pragma GCC unroll 8
    for (int i = 0; i < kCount; i += kGroup) {
      B pairs = Ops::maddubs(bytes[i], Ops::broadcast_quad(x + 4 * i));
#pragma GCC unroll 8
      for (int j = i + 1; j < i + kGroup; ++j) {
        pairs = Ops::add_i16(pairs, Ops::maddubs(bytes[j], Ops::broadcast_quad(x + 4 * j)));
      }
      acc = Ops::add_i32(acc, Ops::madd_ones(pairs));
    }
    return acc;
  }

  B add_signed_dot(const int8_t* x, B acc) const {
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) {
      const B with_sign = Ops::with_sign(Ops::broadcast_quad(x + 4 * i), bytes[i]);
      acc = Ops::add_i32(acc, Ops::madd_ones(Ops::maddubs(Ops::abs_i8(bytes[i]), with_sign)));
    }
    return acc;
  }

  B bytes[kCount];
};

// What `Ops` does with them: start and add_dots of matmul_inl.h.
template <class Ops>
class PairDots {
  PairDots() = default;
  friend Ops;

 public:
  template <DType dtype, int kFirst, int kCount, int kRows, int kPanels, class I>
  static void add_dots(const uint8_t* planes, int64_t /*panel_bytes*/, const int8_t* x,
                       int64_t stride, I (&dot)[kPanels][kRows]) {
    static_assert(kPanels == 1);
    const PairedWeights<Ops, dtype, kFirst, kCount> weights(planes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      dot[0][r] = weights.add_dot(x + r * stride + 4 * kFirst, dot[0][r]);
    }
  }

  template <DType dtype>
  static auto start(int32_t sum) {
    constexpr int kOffset = Quant<dtype>::kOffset - (kTakenAsSigned<dtype> ? 128 : 0);
    return Ops::broadcast_i32(-kOffset * sum);
  }
};

}  // namespace
}  // namespace forerun
