#include "tensor/quant_block.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace forerun {
namespace {

// Blocks use all their bits, so that taking one apart and putting it together again gives the bytes
// only if nothing was lost or read twice. What the parts mean is tested in formats/dequantize_test.
TEST(QuantBlock, EncodesWhatItDecodes) {
  std::mt19937 random(1);
  for (const QuantTraits& type : kQuantTraits) {
    for (int round = 0; round < 100; ++round) {
      std::vector<uint8_t> stored(traits(type.dtype).block_bytes);
      for (uint8_t& byte : stored) byte = static_cast<uint8_t>(random());
      QuantBlock block;
      decode_block(type.dtype, stored.data(), block);
      std::vector<uint8_t> encoded(stored.size());
      encode_block(type.dtype, block, encoded.data());
      ASSERT_EQ(encoded, stored) << traits(type.dtype).name;
    }
  }
}

TEST(QuantBlock, HasNumbersAndSubScalesWithinTheirBits) {
  std::mt19937 random(2);
  for (const QuantTraits& type : kQuantTraits) {
    SCOPED_TRACE(std::string(traits(type.dtype).name));
    std::vector<uint8_t> stored(traits(type.dtype).block_bytes);
    for (uint8_t& byte : stored) byte = static_cast<uint8_t>(random());
    QuantBlock block;
    decode_block(type.dtype, stored.data(), block);
    ASSERT_EQ(traits(type.dtype).block_elements, type.block_inputs);
    for (int i = 0; i < type.block_inputs; ++i) {
      ASSERT_LE(block.numbers[i], type.largest_number());
    }
    for (int i = 0; type.has_sub_scales() && i < type.scales_per_block(); ++i) {
      ASSERT_LE(block.sub_scales[i], type.largest_sub_scale);
      ASSERT_GE(block.sub_scales[i], type.has_min ? 0 : -1 - type.largest_sub_scale);
    }
  }
}

}  // namespace
}  // namespace forerun
