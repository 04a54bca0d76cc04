#pragma once

#include <cstdint>

namespace forerun {

// Activations as int8 in blocks of 32, the left operand of quantised products. Borrowed memory.
//   x[row][i] ≈ scale[row][i / 32] · values[row][i]
// A row's quantisation depends on that row alone.
struct QuantizedRows {
  int8_t* values = nullptr;     // [rows, columns], each in −127 … 127
  float* scale = nullptr;       // [rows, columns / 32]
  int32_t* sum = nullptr;       // [rows, columns / 32], of the block's values
  float* scaled_sum = nullptr;  // [rows, columns / 32], scale · sum
  int16_t* half_sum = nullptr;  // [rows, columns / 16], of 16 values; on whole words
  int64_t columns = 0;

  int64_t blocks() const { return columns / 32; }
  // The same rows from `row` on.
  QuantizedRows from(int64_t row) const {
    return {values + row * columns,      scale + row * blocks(),        sum + row * blocks(),
            scaled_sum + row * blocks(), half_sum + row * 2 * blocks(), columns};
  }
};

}  // namespace forerun
