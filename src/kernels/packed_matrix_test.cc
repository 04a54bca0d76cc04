#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/test_cases.h"

namespace forerun {
namespace {

constexpr DType kDTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16,
                             DType::kQ8_0, DType::kQ4_0, DType::kQ4_1};
constexpr int64_t kColumns = 96;

std::vector<uint8_t> random_bytes(int64_t count, uint32_t seed) {
  Random random(seed);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.integer(0, 255));
  return bytes;
}

TensorView view(DType dtype, int64_t rows, const std::vector<uint8_t>& bytes) {
  return {dtype, {rows, kColumns}, bytes.data()};
}

// What packed_matrix.h documents, read from both sides: a column's stored number, and the scales of
// its block.
struct Element {
  int number = 0;
  std::vector<uint8_t> scales;  // scale and min, or the dense value's bytes

  bool operator==(const Element&) const = default;
};

Element source_element(DType dtype, const uint8_t* row, int64_t column) {
  const int64_t elements = traits(dtype).block_elements;
  const uint8_t* block = row + column / elements * traits(dtype).block_bytes;
  const auto i = column % elements;
  switch (dtype) {
    case DType::kQ8_0:
      return {static_cast<int8_t>(block[2 + i]), {block, block + 2}};
    case DType::kQ4_0:
    case DType::kQ4_1: {
      const int scale_bytes = dtype == DType::kQ4_1 ? 4 : 2;
      const uint8_t byte = block[scale_bytes + i % 16];
      return {i < 16 ? byte & 0x0f : byte >> 4, {block, block + scale_bytes}};
    }
    default:
      return {0, {block, block + traits(dtype).block_bytes}};
  }
}

Element packed_element(const PackedMatrix& matrix, int64_t row, int64_t column) {
  const uint8_t* panel = matrix.panel(row / kPanelRows);
  const int64_t lane = row % kPanelRows;
  const int64_t i = column % kBlockInputs;
  const int64_t b = column / kBlockInputs;
  switch (matrix.dtype()) {
    case DType::kQ8_0: {
      const uint8_t* record = panel + b * 544;
      const int number = record[32 + i / 4 * 64 + lane * 4 + i % 4] - 128;
      return {number, {record + lane * 2, record + lane * 2 + 2}};
    }
    case DType::kQ4_0: {
      const uint8_t* record = panel + b * 288;
      const uint8_t byte = record[32 + i % 16 / 4 * 64 + lane * 4 + i % 4];
      return {i < 16 ? byte & 0x0f : byte >> 4, {record + lane * 2, record + lane * 2 + 2}};
    }
    case DType::kQ4_1: {
      const uint8_t* record = panel + b * 320;
      const uint8_t byte = record[64 + i % 16 / 4 * 64 + lane * 4 + i % 4];
      std::vector<uint8_t> scales(record + lane * 2, record + lane * 2 + 2);
      scales.insert(scales.end(), record + 32 + lane * 2, record + 32 + lane * 2 + 2);
      return {i < 16 ? byte & 0x0f : byte >> 4, scales};
    }
    default: {
      const int64_t size = traits(matrix.dtype()).block_bytes;
      const int64_t place = matrix.dtype() == DType::kBF16
                                ? (column / 2 * kPanelRows + lane) * 2 + column % 2
                                : column * kPanelRows + lane;
      const uint8_t* value = panel + place * size;
      return {0, {value, value + size}};
    }
  }
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
  for (const DType dtype : kDTypes) {
    for (const int64_t rows : {1, 16, 17, 45}) {
      const std::vector<uint8_t> bytes = random_bytes(rows * row_bytes(dtype, kColumns), 1);
      PackedMatrix matrix(dtype, rows, kColumns);
      EXPECT_EQ(matrix.panels(), (rows + 15) / 16);
      matrix.pack(view(dtype, rows, bytes), {0, matrix.panels()});
      expect_elements(matrix, bytes, source_order(rows));
    }
  }
}

TEST(PackedMatrix, TakesRowsInTheOrderGiven) {
  constexpr int64_t kRows = 40;
  std::vector<int32_t> order = source_order(kRows);
  std::rotate(order.begin(), order.begin() + 13, order.end());
  std::swap(order[3], order[31]);
  for (const DType dtype : kDTypes) {
    const std::vector<uint8_t> bytes = random_bytes(kRows * row_bytes(dtype, kColumns), 2);
    PackedMatrix matrix(dtype, kRows, kColumns);
    matrix.pack(view(dtype, kRows, bytes), {0, matrix.panels()}, order.data());
    expect_elements(matrix, bytes, order);
  }
}

TEST(PackedMatrix, LeavesZeroWhereRowsAreMissing) {
  constexpr int64_t kRows = 19;
  for (const DType dtype : kDTypes) {
    const std::vector<uint8_t> bytes = random_bytes(kRows * row_bytes(dtype, kColumns), 3);
    PackedMatrix matrix(dtype, kRows, kColumns);
    matrix.pack(view(dtype, kRows, bytes), {0, matrix.panels()});
    for (int64_t row = kRows; row < 32; ++row) {
      for (int64_t column = 0; column < kColumns; ++column) {
        const Element element = packed_element(matrix, row, column);
        // A zero byte of Q8_0 reads as −128; its zero scale makes the weight 0.
        ASSERT_EQ(element.number, dtype == DType::kQ8_0 ? -128 : 0);
        for (const uint8_t byte : element.scales) ASSERT_EQ(byte, 0);
      }
    }
  }
}

TEST(PackedMatrix, PacksPanelsAlikeInAnyNumberOfThreads) {
  constexpr int64_t kRows = 16 * 11 + 5;
  Team team(4);
  for (const DType dtype : kDTypes) {
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
