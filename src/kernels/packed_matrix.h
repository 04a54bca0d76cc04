#pragma once

#include <cstdint>

#include "base/parallel.h"
#include "tensor/buffer.h"
#include "tensor/quant_block.h"
#include "tensor/tensor.h"

namespace forerun {

// Output rows that one vector of 16 lanes works on together.
constexpr int kPanelRows = 16;
// Inputs that share one activation scale.
constexpr int kBlockInputs = 32;

// Where the parts of a quantised type's record stand, in bytes.
struct RecordLayout {
  bool has_nibbles = false;  // sub-scales and sub-mins as nibbles
  int mins_at = 0;
  int sub_scales_at = 0;
  int sub_mins_at = 0;
  int numbers_at = 0;
  int block_bytes = 0;  // of the planes of 32 inputs
  int record_bytes = 0;
};

constexpr RecordLayout record_layout(const QuantTraits& type) {
  constexpr int kHalves = kPanelRows * 2;
  RecordLayout layout;
  layout.has_nibbles = type.scale_inputs < kBlockInputs && type.has_min;
  const int sub_scale_bytes =
      type.has_sub_scales() ? type.scales_per_block() * kPanelRows / (layout.has_nibbles ? 2 : 1)
                            : 0;
  layout.mins_at = kHalves;
  layout.sub_scales_at = layout.mins_at + (type.has_min ? kHalves : 0);
  layout.sub_mins_at = layout.sub_scales_at + sub_scale_bytes;
  layout.numbers_at = layout.sub_mins_at + (type.has_min ? sub_scale_bytes : 0);
  layout.block_bytes = (type.low_bits + type.high_bits) * 64;
  layout.record_bytes = layout.numbers_at + type.block_inputs / kBlockInputs * layout.block_bytes;
  return layout;
}

// A weight [rows = outputs, columns = inputs] repacked for every kernel of this tree: panels of 16
// output rows, each a contiguous stream over its inputs. One layout serves all instruction sets.
//
// Quantised types, one record per stored block, of 32 or 256 inputs; lane r stands for the panel's
// row r. Its parts, in this order (places in RecordLayout, contents in tensor/quant_block.h):
//   f16 d[16]
//   f16 m[16]         with a minimum
//   int8 s[n][16]     with sub-scales
//   int8 t[n][16]     with both
//   numbers           per 32 inputs, a plane of the low bits and one of the high bits. A plane of k
//                     bits is k vectors of 64 bytes: lane r, byte i of vector v holds, bits
//                     upwards, inputs 4·v + i, 4·(v + k) + i, 4·(v + 2k) + i …
// Where 16 inputs share a scale and there are minima, s and t are nibbles: a byte holds inputs 0…15
// of 32 in its low one, 16…31 in its high one.
// A record takes the bytes of 16 stored blocks, and up to 3.6 % more where the file has six-bit
// scales.
// Dense types, lines of 64 bytes:
//   F32    one input: [16 rows]
//   F16    two inputs: [2][16 rows]
//   BF16   two inputs: [16 rows][2], what a dot product of pairs reads
// Rows and inputs beyond the last are zero.
class PackedMatrix final {
 public:
  PackedMatrix() = default;
  // Room for a matrix; `pack` fills it. Columns are a multiple of the dtype's block.
  PackedMatrix(DType dtype, int64_t rows, int64_t columns);
  // The same in memory of the caller: size_bytes(…) bytes, zero, beginning a cache line, outliving
  // this.
  PackedMatrix(DType dtype, int64_t rows, int64_t columns, uint8_t* memory);
  static size_t size_bytes(DType dtype, int64_t rows, int64_t columns);

  // Repacks panels [first, last) of a source with this dtype and shape. `row_order`, when given, is
  // the source row of each packed row. Calls for disjoint panels may run at once.
  void pack(const TensorView& source, Range panels, const int32_t* row_order = nullptr);

  DType dtype() const { return dtype_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  int64_t panel_bytes() const { return panel_bytes_; }
  const uint8_t* panel(int64_t index) const { return data_ + index * panel_bytes_; }
  size_t size_bytes() const { return static_cast<size_t>(panels() * panel_bytes_); }
  // Whether products read activations quantised to int8 (true) or as f32.
  bool is_quantized() const { return traits(dtype_).block_elements > 1; }

 private:
  DType dtype_ = DType::kF32;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t panel_bytes_ = 0;
  Buffer owned_;
  uint8_t* data_ = nullptr;
};

}  // namespace forerun
