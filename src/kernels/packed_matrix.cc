#include "kernels/packed_matrix.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/pacer.h"

namespace forerun {
namespace {

// A dense panel is whole lines of this many bytes.
constexpr int64_t kLineBytes = 64;

bool is_dense(DType dtype) {
  return traits(dtype).block_elements == 1;
}

// Bytes of one panel's record: 16 rows of one block of the dtype.
int64_t record_bytes(DType dtype) {
  if (is_dense(dtype)) return int64_t{kPanelRows} * traits(dtype).block_bytes;
  const QuantTraits* type = find_quant_traits(dtype);
  CHECK(type != nullptr, "no packed layout for this dtype");
  return record_layout(*type).record_bytes;
}

int64_t bytes_of_panel(DType dtype, int64_t columns) {
  if (is_dense(dtype)) {
    const int64_t bytes = columns * record_bytes(dtype);
    return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
  }
  return columns / traits(dtype).block_elements * record_bytes(dtype);
}

// One lane of a plane of kBits, from bit kFrom of 32 numbers; four numbers at a time.
template <int kBits, int kFrom>
void pack_plane(const uint8_t* numbers, int lane, uint8_t* plane) {
  constexpr uint32_t kMask = ((1u << kBits) - 1) * 0x01010101u;
  uint32_t fields[kBits] = {};
  for (int quad = 0; quad < 8; ++quad) {
    uint32_t four;
    std::memcpy(&four, numbers + 4 * quad, sizeof(four));
    fields[quad % kBits] |= (four >> kFrom & kMask) << (quad / kBits * kBits);
  }
  for (int v = 0; v < kBits; ++v) {
    std::memcpy(plane + v * 64 + lane * 4, &fields[v], sizeof(fields[v]));
  }
}

// One lane of a record's sub-scales or sub-mins.
template <DType dtype>
void pack_sub(const int8_t* values, int lane, uint8_t* out) {
  constexpr QuantTraits kType = *find_quant_traits(dtype);
  constexpr bool kNibbles = record_layout(kType).has_nibbles;
  for (int i = 0; i < kType.scales_per_block() / (kNibbles ? 2 : 1); ++i) {
    const int value = kNibbles ? values[2 * i] | values[2 * i + 1] << 4 : values[i];
    out[i * kPanelRows + lane] = static_cast<uint8_t>(value);
  }
}

// One stored block into its lane of a record.
template <DType dtype>
void pack_block(const uint8_t* stored, int lane, uint8_t* record) {
  constexpr QuantTraits kType = *find_quant_traits(dtype);
  constexpr RecordLayout kLayout = record_layout(kType);
  QuantBlock block;
  decode_block(dtype, stored, block);
  std::memcpy(record + lane * 2, &block.scale, sizeof(block.scale));
  if constexpr (kType.has_min) {
    std::memcpy(record + kLayout.mins_at + lane * 2, &block.min, sizeof(block.min));
  }
  if constexpr (kType.has_sub_scales()) {
    pack_sub<dtype>(block.sub_scales, lane, record + kLayout.sub_scales_at);
    if constexpr (kType.has_min) {
      pack_sub<dtype>(block.sub_mins, lane, record + kLayout.sub_mins_at);
    }
  }
  for (int i = 0; i < kType.block_inputs / kBlockInputs; ++i) {
    const uint8_t* numbers = block.numbers + i * kBlockInputs;
    uint8_t* planes = record + kLayout.numbers_at + i * kLayout.block_bytes;
    pack_plane<kType.low_bits, 0>(numbers, lane, planes);
    if constexpr (kType.high_bits > 0) {
      pack_plane<kType.high_bits, kType.low_bits>(numbers, lane, planes + kType.low_bits * 64);
    }
  }
}

using BlockPacker = void (*)(const uint8_t* stored, int lane, uint8_t* record);

template <size_t... row>
constexpr std::array<BlockPacker, sizeof...(row)> block_packers(std::index_sequence<row...>) {
  return {&pack_block<kQuantTraits[row].dtype>...};
}

void pack_quantized_row(DType dtype, const uint8_t* row, int64_t num_blocks, int lane,
                        uint8_t* panel) {
  static constexpr auto kPackers = block_packers(std::make_index_sequence<kQuantTraits.size()>());
  const BlockPacker pack = kPackers[quant_index(dtype)];
  const int64_t record = record_bytes(dtype);
  for (int64_t b = 0; b < num_blocks; ++b) {
    pack(row + b * traits(dtype).block_bytes, lane, panel + b * record);
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
  for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
    uint8_t* out = data_ + panel * panel_bytes_;
    for (int lane = 0; lane < kPanelRows; ++lane) {
      const int64_t row = panel * kPanelRows + lane;
      if (row >= rows_) break;
      const int64_t source_row = row_order != nullptr ? row_order[row] : row;
      const uint8_t* stored = source.data + source_row * row_bytes(dtype_, columns_);
      if (is_dense(dtype_)) {
        pack_dense_row(dtype_, stored, columns_, lane, out);
      } else {
        pack_quantized_row(dtype_, stored, num_blocks, lane, out);
      }
      pace();
    }
  }
}

}  // namespace forerun
