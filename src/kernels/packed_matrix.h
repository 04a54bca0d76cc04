#pragma once

#include <cstdint>

#include "base/parallel.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace forerun {

// Output rows that one vector of 16 lanes works on together.
constexpr int kPanelRows = 16;
// Inputs that share one activation scale.
constexpr int kBlockInputs = 32;

// A weight [rows = outputs, columns = inputs] repacked for every kernel of this tree: panels of 16
// output rows, each a contiguous stream over its inputs. One layout serves all instruction sets.
//
// Quantised types, one record per block of 32 inputs, lane r standing for the panel's row r:
//   Q4_0   f16 scale[16] | 4 × 64 bytes           (288 bytes)
//   Q4_1   f16 scale[16], f16 min[16] | 4 × 64    (320 bytes)
//          vector j, lane r, byte i: low nibble input 4j+i, high nibble input 16+4j+i, unsigned
//   Q8_0   f16 scale[16] | 8 × 64 bytes           (544 bytes)
//          vector j, lane r, byte i: input 4j+i, plus 128, unsigned
// Dense types, lines of 64 bytes:
//   F32    one input: [16 rows]
//   F16    two inputs: [2][16 rows]
//   BF16   two inputs: [16 rows][2], what a dot product of pairs reads
// Rows and inputs beyond the last are zero.
class PackedMatrix final {
 public:
  PackedMatrix() = default;
  // Room for a matrix; `pack` fills it. The dtype is one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, and
  // columns a multiple of the dtype's block.
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
  // Whether products read activations quantised to int8.
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
