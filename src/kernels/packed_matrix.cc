#include "kernels/packed_matrix.h"

#include <cstring>

#include "base/check.h"

namespace forerun {
namespace {

// Bytes of one panel's record: 16 rows of one block of the dtype.
int64_t record_bytes(DType dtype) {
  return int64_t{kPanelRows} * traits(dtype).block_bytes;
}

// A dense panel is whole lines of this many bytes.
constexpr int64_t kLineBytes = 64;

bool is_dense(DType dtype) {
  return traits(dtype).block_elements == 1;
}

int64_t bytes_of_panel(DType dtype, int64_t columns) {
  if (is_dense(dtype)) {
    const int64_t bytes = columns * record_bytes(dtype);
    return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
  }
  return columns / traits(dtype).block_elements * record_bytes(dtype);
}

// Spreads the 4-byte groups of one source row over the vectors of a record.
void spread(const uint8_t* source, int num_groups, int lane, uint8_t flip, uint8_t* vectors) {
  for (int group = 0; group < num_groups; ++group) {
    uint8_t* target = vectors + group * 64 + lane * 4;
    for (int i = 0; i < 4; ++i) target[i] = source[group * 4 + i] ^ flip;
  }
}

// One source block into its lane of a record.
void pack_block(DType dtype, const uint8_t* block, int lane, uint8_t* record) {
  switch (dtype) {
    case DType::kQ4_0:
      std::memcpy(record + lane * 2, block, 2);
      spread(block + 2, 4, lane, 0, record + 32);
      return;
    case DType::kQ4_1:
      std::memcpy(record + lane * 2, block, 2);
      std::memcpy(record + 32 + lane * 2, block + 2, 2);
      spread(block + 4, 4, lane, 0, record + 64);
      return;
    case DType::kQ8_0:
      std::memcpy(record + lane * 2, block, 2);
      // Flipping the top bit adds 128: unsigned bytes for the unsigned × signed dot products.
      spread(block + 2, 8, lane, 0x80, record + 32);
      return;
    default:
      CHECK(false, "no packed layout for this dtype");
  }
}

// Runs of kRun inputs of one row, 16 rows' runs side by side.
template <int64_t kBytes, int64_t kRun>
void spread_dense(const uint8_t* row, int64_t columns, int lane, uint8_t* panel) {
  for (int64_t i = 0; i < columns; ++i) {
    const int64_t place = (i / kRun * kPanelRows + lane) * kRun + i % kRun;
    std::memcpy(panel + place * kBytes, row + i * kBytes, kBytes);
  }
}

void pack_dense_row(DType dtype, const uint8_t* row, int64_t columns, int lane, uint8_t* panel) {
  switch (dtype) {
    case DType::kF32:
      return spread_dense<4, 1>(row, columns, lane, panel);
    case DType::kF16:
      return spread_dense<2, 1>(row, columns, lane, panel);
    case DType::kBF16:
      return spread_dense<2, 2>(row, columns, lane, panel);
    default:
      CHECK(false, "no packed layout for this dtype");
  }
}

}  // namespace

PackedMatrix::PackedMatrix(DType dtype, int64_t rows, int64_t columns, uint8_t* memory)
    : dtype_(dtype),
      rows_(rows),
      columns_(columns),
      panel_bytes_(bytes_of_panel(dtype, columns)),
      data_(memory) {
  CHECK(columns % traits(dtype).block_elements == 0, "columns must be whole blocks");
}

PackedMatrix::PackedMatrix(DType dtype, int64_t rows, int64_t columns)
    : PackedMatrix(dtype, rows, columns, nullptr) {
  owned_ = Buffer(size_bytes());
  data_ = owned_.data();
}

size_t PackedMatrix::size_bytes(DType dtype, int64_t rows, int64_t columns) {
  return PackedMatrix(dtype, rows, columns, nullptr).size_bytes();
}

void PackedMatrix::pack(const TensorView& source, Range panels, const int32_t* row_order) {
  CHECK(source.dtype == dtype_ && source.num_elements() == rows_ * columns_,
        "the source is another matrix");
  const int64_t num_blocks = columns_ / traits(dtype_).block_elements;
  const int64_t block_bytes = traits(dtype_).block_bytes;
  const int64_t record = record_bytes(dtype_);
  for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
    uint8_t* out = data_ + panel * panel_bytes_;
    for (int lane = 0; lane < kPanelRows; ++lane) {
      const int64_t row = panel * kPanelRows + lane;
      if (row >= rows_) break;
      const int64_t source_row = row_order != nullptr ? row_order[row] : row;
      const uint8_t* blocks = source.data + source_row * num_blocks * block_bytes;
      if (is_dense(dtype_)) {
        pack_dense_row(dtype_, blocks, columns_, lane, out);
        continue;
      }
      for (int64_t b = 0; b < num_blocks; ++b) {
        pack_block(dtype_, blocks + b * block_bytes, lane, out + b * record);
      }
    }
  }
}

}  // namespace forerun
