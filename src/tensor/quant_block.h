#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace forerun {

// What a quantised type's weights are made of. A block of `block_inputs` weights has one f16 scale
// d and, with has_min, one f16 minimum m. A weight's number q of low_bits + high_bits stands for
// the level q − offset, or with a codebook for kCodebook[q]:
//   block_inputs 32    w = d·level + m
//   block_inputs 256   w = (d·s)·level + (m·t), s and t small integers of each scale_inputs weights
// Types without has_min have no m and no t.
struct QuantTraits {
  DType dtype;
  int block_inputs;
  int scale_inputs;
  int low_bits;
  int high_bits;
  int offset;
  bool has_min;
  bool has_codebook;
  int largest_sub_scale = 0;  // of s and t; 0: none

  constexpr bool has_sub_scales() const { return largest_sub_scale > 0; }
  constexpr int largest_number() const { return (1 << (low_bits + high_bits)) - 1; }
  constexpr int scales_per_block() const { return block_inputs / scale_inputs; }
};

// inline: quant_index() takes a place in it from a pointer, and find_quant_traits() may be another
// source's copy of the function.
inline constexpr std::array kQuantTraits = {
    QuantTraits{DType::kQ8_0, 32, 32, 8, 0, 128, false, false},
    QuantTraits{DType::kQ4_0, 32, 32, 4, 0, 8, false, false},
    QuantTraits{DType::kQ4_1, 32, 32, 4, 0, 0, true, false},
    QuantTraits{DType::kQ5_0, 32, 32, 4, 1, 16, false, false},
    QuantTraits{DType::kQ5_1, 32, 32, 4, 1, 0, true, false},
    QuantTraits{DType::kQ2_K, 256, 16, 2, 0, 0, true, false, 15},
    QuantTraits{DType::kQ3_K, 256, 16, 2, 1, 4, false, false, 31},
    QuantTraits{DType::kQ4_K, 256, 32, 4, 0, 0, true, false, 63},
    QuantTraits{DType::kQ5_K, 256, 32, 4, 1, 0, true, false, 63},
    QuantTraits{DType::kQ6_K, 256, 16, 4, 2, 32, false, false, 127},
    QuantTraits{DType::kIQ4_NL, 32, 32, 4, 0, 0, false, true},
    QuantTraits{DType::kIQ4_XS, 256, 32, 4, 0, 0, false, true, 31},
};

// nullptr for F32, F16 and BF16.
constexpr const QuantTraits* find_quant_traits(DType dtype) {
  for (const QuantTraits& row : kQuantTraits) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

// A quantised type's row of kQuantTraits.
size_t quant_index(DType dtype);

// The levels of IQ4_NL and IQ4_XS (ggml's kvalues_iq4nl).
inline constexpr int8_t kCodebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

constexpr int level_of(const QuantTraits& type, uint8_t number) {
  return type.has_codebook ? kCodebook[number] : number - type.offset;
}

// A stored block taken apart, the same for every type.
struct QuantBlock {
  uint16_t scale;         // d, the bits of an f16
  uint16_t min;           // m, the same; Q2_K, Q4_K and Q5_K store −m
  uint8_t numbers[256];   // [block_inputs]
  int8_t sub_scales[16];  // s, [scales_per_block], with has_sub_scales
  int8_t sub_mins[16];    // t, the same, with has_min too
};

// Takes a stored block of a quantised type apart, leaving alone what the type does not have.
// `block` needs no alignment.
void decode_block(DType dtype, const uint8_t* block, QuantBlock& out);

// The inverse: writes the block_bytes of a stored block. Numbers and sub-scales must be ones the
// type has bits for.
void encode_block(DType dtype, const QuantBlock& block, uint8_t* out);

}  // namespace forerun
