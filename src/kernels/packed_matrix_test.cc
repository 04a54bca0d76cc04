#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/test_cases.h"

namespace forerun {
namespace {

constexpr int64_t kColumns = 768;  // whole blocks of every type

std::vector<uint8_t> random_bytes(int64_t count, uint32_t seed) {
  Random random(seed);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.integer(0, 255));
  return bytes;
}

TensorView view(DType dtype, int64_t rows, const std::vector<uint8_t>& bytes) {
  return {dtype, {rows, kColumns}, bytes.data()};
}

// What packed_matrix.h documents, read from both sides: a column's number, and what its block is
// scaled with.
struct Element {
  int number = 0;
  int scale = 0;
  int min = 0;
  int8_t sub_scale = 0;
  int8_t sub_min = 0;
  std::vector<uint8_t> dense;  // a dense value's bytes

  bool operator==(const Element&) const = default;
};

Element source_element(DType dtype, const uint8_t* row, int64_t column) {
  const int64_t elements = traits(dtype).block_elements;
  const uint8_t* stored = row + column / elements * traits(dtype).block_bytes;
  const QuantTraits* type = find_quant_traits(dtype);
  Element element;
  if (type == nullptr) {
    element.dense = {stored, stored + traits(dtype).block_bytes};
    return element;
  }
  QuantBlock block;
  decode_block(dtype, stored, block);
  const int64_t i = column % elements;
  element.number = block.numbers[i];
  element.scale = block.scale;
  if (type->has_min) element.min = block.min;
  if (type->has_sub_scales()) {
    element.sub_scale = block.sub_scales[i / type->scale_inputs];
    if (type->has_min) element.sub_min = block.sub_mins[i / type->scale_inputs];
  }
  return element;
}

// Input i of a plane of 32.
int plane_field(const uint8_t* plane, int bits, int64_t lane, int64_t i) {
  const int64_t quad = i / 4;
  const uint8_t byte = plane[quad % bits * 64 + lane * 4 + i % 4];
  return byte >> (quad / bits * bits) & ((1 << bits) - 1);
}

int read_half(const uint8_t* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  return half;
}

Element packed_element(const PackedMatrix& matrix, int64_t row, int64_t column) {
  const uint8_t* panel = matrix.panel(row / kPanelRows);
  const int64_t lane = row % kPanelRows;
  const QuantTraits* type = find_quant_traits(matrix.dtype());
  Element element;
  if (type == nullptr) {
    const int64_t size = traits(matrix.dtype()).block_bytes;
    const int64_t place = matrix.dtype() == DType::kBF16
                              ? (column / 2 * kPanelRows + lane) * 2 + column % 2
                              : column * kPanelRows + lane;
    const uint8_t* value = panel + place * size;
    element.dense = {value, value + size};
    return element;
  }
  const RecordLayout layout = record_layout(*type);
  const uint8_t* record = panel + column / type->block_inputs * layout.record_bytes;
  const int64_t i = column % type->block_inputs;
  const uint8_t* planes = record + layout.numbers_at + i / kBlockInputs * layout.block_bytes;
  element.number = plane_field(planes, type->low_bits, lane, i % kBlockInputs);
  if (type->high_bits > 0) {
    element.number |=
        plane_field(planes + type->low_bits * 64, type->high_bits, lane, i % kBlockInputs)
        << type->low_bits;
  }
  element.scale = read_half(record + lane * 2);
  if (type->has_min) element.min = read_half(record + layout.mins_at + lane * 2);
  if (!type->has_sub_scales()) return element;
  const auto sub = [&](int at) -> int8_t {
    const int64_t place = i / type->scale_inputs;
    if (!layout.has_nibbles) return static_cast<int8_t>(record[at + place * 16 + lane]);
    return static_cast<int8_t>(record[at + place / 2 * 16 + lane] >> (place % 2 * 4) & 15);
  };
  element.sub_scale = sub(layout.sub_scales_at);
  if (type->has_min) element.sub_min = sub(layout.sub_mins_at);
  return element;
}

void expect_elements(const PackedMatrix& matrix, const std::vector<uint8_t>& bytes,
                     const std::vector<int32_t>& order) {
  const int64_t stride = row_bytes(matrix.dtype(), kColumns);
  for (int64_t row = 0; row < matrix.rows(); ++row) {
    for (int64_t column = 0; column < kColumns; ++column) {
      ASSERT_EQ(packed_element(matrix, row, column),
                source_element(matrix.dtype(), bytes.data() + order[row] * stride, column))
          << traits(matrix.dtype()).name << " row " << row << " column " << column;
    }
  }
}

std::vector<int32_t> source_order(int64_t rows) {
  std::vector<int32_t> order(rows);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

TEST(PackedMatrix, HoldsEveryElementWhereItsHeaderSays) {
  for (const DType dtype : kEveryDType) {
    for (const int64_t rows : {1, 16, 17, 45}) {
      const std::vector<uint8_t> bytes = random_bytes(rows * row_bytes(dtype, kColumns), 1);
      PackedMatrix matrix(dtype, rows, kColumns);
      EXPECT_EQ(matrix.panels(), (rows + 15) / 16);
      matrix.pack(view(dtype, rows, bytes), {0, matrix.panels()});
      expect_elements(matrix, bytes, source_order(rows));
    }
  }
}

TEST(PackedMatrix, TakesLittleMoreThanTheFile) {
  for (const QuantTraits& type : kQuantTraits) {
    const int64_t stored = int64_t{kPanelRows} * traits(type.dtype).block_bytes;
    const int64_t packed = record_layout(type).record_bytes;
    EXPECT_GE(packed, stored) << traits(type.dtype).name;
    EXPECT_LE(packed, stored + stored * 37 / 1000) << traits(type.dtype).name;
  }
}

TEST(PackedMatrix, TakesRowsInTheOrderGiven) {
  constexpr int64_t kRows = 40;
  std::vector<int32_t> order = source_order(kRows);
  std::rotate(order.begin(), order.begin() + 13, order.end());
  std::swap(order[3], order[31]);
  for (const DType dtype : kEveryDType) {
    const std::vector<uint8_t> bytes = random_bytes(kRows * row_bytes(dtype, kColumns), 2);
    PackedMatrix matrix(dtype, kRows, kColumns);
    matrix.pack(view(dtype, kRows, bytes), {0, matrix.panels()}, order.data());
    expect_elements(matrix, bytes, order);
  }
}

TEST(PackedMatrix, LeavesZeroWhereRowsAreMissing) {
  constexpr int64_t kRows = 19;
  for (const DType dtype : kEveryDType) {
    const std::vector<uint8_t> bytes = random_bytes(kRows * row_bytes(dtype, kColumns), 3);
    PackedMatrix matrix(dtype, kRows, kColumns);
    matrix.pack(view(dtype, kRows, bytes), {0, matrix.panels()});
    for (int64_t row = kRows; row < 32; ++row) {
      for (int64_t column = 0; column < kColumns; ++column) {
        const Element element = packed_element(matrix, row, column);
        // Whatever level the number 0 stands for: a zero scale makes the weight 0.
        Element zero;
        zero.dense.resize(element.dense.size());
        ASSERT_EQ(element, zero);
      }
    }
  }
}

TEST(PackedMatrix, PacksPanelsAlikeInAnyNumberOfThreads) {
  constexpr int64_t kRows = 16 * 11 + 5;
  Team team(4);
  for (const DType dtype : kEveryDType) {
    const std::vector<uint8_t> bytes = random_bytes(kRows * row_bytes(dtype, kColumns), 4);
    const TensorView source = view(dtype, kRows, bytes);
    PackedMatrix serial(dtype, kRows, kColumns);
    serial.pack(source, {0, serial.panels()});
    PackedMatrix parallel(dtype, kRows, kColumns);
    team.run([&](int member) {
      parallel.pack(source, share_of(parallel.panels(), member, team.size()));
    });
    ASSERT_EQ(parallel.size_bytes(), serial.size_bytes());
    EXPECT_EQ(std::memcmp(parallel.panel(0), serial.panel(0), serial.size_bytes()), 0);
  }
}

}  // namespace
}  // namespace forerun
