// Quantised weights out of their records (kernels/packed_matrix.h): bytes for dot products, scales
// and minima, over an instruction set's `Ops`. Of bytes, B, it asks for
//   load_bytes(p), shift<n>(v)  every 16 bits n places up, or down where n is negative
//   keep(v, mask)               the mask's bits of every byte
//   merge(low, v, mask)         low | (v & mask)
//   codebook(v)                 the levels plus 128 of the codebook's places v
// and of int32, I,
//   load_i8(p), load_nibbles<high>(p)   from a byte a lane; a nibble's value is unsigned
//   load_nibble_pairs(p)        both nibbles of a byte a lane, as int16
//   dot_pairs(pairs, sums)      of two int16 in every lane with two int16 at `sums`
#pragma once

#include <utility>

#include "kernels/packed_matrix.h"

namespace forerun {
namespace {

template <DType dtype>
struct Quant {
  static constexpr QuantTraits kType = *find_quant_traits(dtype);
  static constexpr RecordLayout kLayout = record_layout(kType);
  static constexpr int kBlocks = kType.block_inputs / kBlockInputs;  // of a record
  static constexpr int kBytesPerBlock = kLayout.record_bytes / kBlocks;
  // Whether each half of 32 inputs has a scale of its own.
  static constexpr bool kHalved = kType.scale_inputs < kBlockInputs;
  // Dot products read unsigned bytes: a level plus kOffset, up to kLargest.
  static constexpr int kOffset = kType.has_codebook ? 128 : kType.offset;
  static constexpr int kLargest = kType.has_codebook ? kCodebook[15] + 128 : kType.largest_number();
};

// f(0) … f(n − 1), each with its number as a constant.
template <int n, class Function>
void unrolled(Function function) {
  [&]<int... i>(std::integer_sequence<int, i...>) {
    (function(std::integral_constant<int, i>{}), ...);
  }(std::make_integer_sequence<int, n>{});
}

// Block i of a record, from `lane` on.
template <DType dtype>
const uint8_t* planes_of(const uint8_t* record, int i, int lane) {
  return record + Quant<dtype>::kLayout.numbers_at + i * Quant<dtype>::kLayout.block_bytes +
         lane * 4;
}

// Inputs 4·quad … 4·quad + 3 of a block, a byte each.
template <class Ops, DType dtype, int quad>
typename Ops::B weight_bytes(const uint8_t* planes) {
  constexpr QuantTraits kType = Quant<dtype>::kType;
  constexpr int kLow = kType.low_bits;
  auto bytes = Ops::load_bytes(planes + quad % kLow * 64);
  if constexpr (kLow < 8) {
    bytes = Ops::keep(Ops::template shift<-(quad / kLow * kLow)>(bytes), (1 << kLow) - 1);
  }
  if constexpr (kType.high_bits > 0) {
    constexpr int kHigh = kType.high_bits;
    const auto high = Ops::load_bytes(planes + (kLow + quad % kHigh) * 64);
    bytes = Ops::merge(bytes, Ops::template shift<kLow - quad / kHigh * kHigh>(high),
                       ((1 << kHigh) - 1) << kLow);
  }
  if constexpr (kType.has_codebook) bytes = Ops::codebook(bytes);
  return bytes;
}

// d, or d·s, of block i; kHalf where its halves have scales of their own.
template <class Ops, DType dtype, int kHalf>
typename Ops::F scale_of(const uint8_t* record, int i, int lane) {
  using Q = Quant<dtype>;
  const auto scale = Ops::load_f16(record + lane * 2);
  if constexpr (!Q::kType.has_sub_scales()) return scale;
  const uint8_t* sub = record + Q::kLayout.sub_scales_at + lane;
  if constexpr (Q::kLayout.has_nibbles) {
    return Ops::mul(scale, Ops::to_float(Ops::template load_nibbles<kHalf>(sub + i * kPanelRows)));
  }
  const int place = Q::kHalved ? 2 * i + kHalf : i;
  return Ops::mul(scale, Ops::to_float(Ops::load_i8(sub + place * kPanelRows)));
}

// m, or m·t, of block i.
template <class Ops, DType dtype>
typename Ops::F min_of(const uint8_t* record, int i, int lane) {
  using Q = Quant<dtype>;
  const auto min = Ops::load_f16(record + Q::kLayout.mins_at + lane * 2);
  if constexpr (!Q::kType.has_sub_scales()) return min;
  const uint8_t* sub = record + Q::kLayout.sub_mins_at + lane;
  return Ops::mul(min, Ops::to_float(Ops::load_i8(sub + i * kPanelRows)));
}

// The minima of a block whose halves have one each, if the type has them.
template <class Ops, DType dtype, bool kHasMin = Quant<dtype>::kType.has_min>
struct HalvedMins {
  HalvedMins(const uint8_t* record, int i, int lane)
      : min(Ops::load_f16(record + Quant<dtype>::kLayout.mins_at + lane * 2)),
        sub_mins(Ops::load_nibble_pairs(record + Quant<dtype>::kLayout.sub_mins_at +
                                        i * kPanelRows + lane)) {}
  typename Ops::F add_to(typename Ops::F term, const int16_t* half_sums) const {
    return Ops::fma(Ops::to_float(Ops::dot_pairs(sub_mins, half_sums)), min, term);
  }
  typename Ops::F min;
  typename Ops::I sub_mins;
};
template <class Ops, DType dtype>
struct HalvedMins<Ops, dtype, false> {
  HalvedMins(const uint8_t* /*record*/, int /*i*/, int /*lane*/) {}
  typename Ops::F add_to(typename Ops::F term, const int16_t* /*half_sums*/) const { return term; }
};

}  // namespace
}  // namespace forerun
