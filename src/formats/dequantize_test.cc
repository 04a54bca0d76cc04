#include "formats/dequantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace forerun {
namespace {

std::optional<DType> dtype_named(const std::string& name) {
  for (const DType dtype : kEveryDType) {
    if (traits(dtype).name == name) return dtype;
  }
  return std::nullopt;
}

std::vector<uint8_t> bytes_of_hex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// Golden rows are from PyPI gguf, by tests/golden/make_dequantize_golden.py.
TEST(DequantizeRow, GivesTheBitsOfGgufsDequantiser) {
  std::ifstream golden(FORERUN_SOURCE_DIR "/tests/golden/dequantize.txt");
  std::string name, stored, bits;
  int64_t num_elements = 0;
  std::set<DType> seen;
  while (golden >> name >> num_elements >> stored >> bits) {
    const std::optional<DType> dtype = dtype_named(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    seen.insert(*dtype);
    const std::vector<uint8_t> row = bytes_of_hex(stored);
    ASSERT_EQ(static_cast<int64_t>(row.size()), row_bytes(*dtype, num_elements)) << name;
    std::vector<float> values(num_elements);
    dequantize_row(*dtype, row.data(), num_elements, values.data());
    for (int64_t i = 0; i < num_elements; ++i) {
      const auto expected = static_cast<uint32_t>(std::stoul(bits.substr(i * 8, 8), nullptr, 16));
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), expected) << name << " element " << i;
    }
  }
  EXPECT_EQ(seen.size(), std::size(kEveryDType));
}

TEST(DequantizeRow, ReadsARowAtAnOddAddress) {
  const std::vector<uint8_t> bytes = {0xff, 0x00, 0x00, 0x80, 0x3f};
  float value = 0;
  dequantize_row(DType::kF32, bytes.data() + 1, 1, &value);
  EXPECT_EQ(value, 1.0f);
}

}  // namespace
}  // namespace forerun
