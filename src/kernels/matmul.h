#pragma once

#include <cstdint>

#include "base/parallel.h"
#include "kernels/packed_matrix.h"
#include "kernels/quantized_rows.h"

namespace forerun {

// out[row][column] (+)= Σ_i x[row][i] · weight[column][i] for `num_rows` rows and the columns of
// panels [panels.begin, panels.end).
//
//   x         quantised weights read `quantized`; F32 and F16 read `dense` [num_rows,
//   dense_stride];
//             BF16 reads `bf16` [num_rows, bf16_stride] where the instruction set has bf16 dot
//             products (KernelTable::forms_of), `dense` where not.
//   out       f32 [num_rows, out_stride], the matrix's column `first_column` at out[0]; may not
//             alias x.
//             Columns are written in whole panels: out has room up to the next multiple of 16.
//   add       out += product instead of out = product; the product is complete before it is added
//
// Order of the arithmetic, the same for every num_rows and instruction set (so a row's bits depend
// on nothing but the row and the weight):
//   quantised, per block of 32 inputs in ascending order, with d, m, s, t and levels as
//   tensor/quant_block.h names them, scale = d or d·s, min = m or m·t (f16 → f32, one product):
//     a scale for all 32   I the exact integer Σ level·x
//       acc = fma(float(I), scale · scale_x, acc);  with a minimum: acc = fma(min, scaled_sum_x,
//       acc)
//     a scale for each 16 (Q2_K, Q3_K, Q6_K)   I0 and I1 the same of each half
//       term = float(I0) · scale_0;  term = fma(float(I1), scale_1, term)
//       with a minimum: term = fma(float(t0·half_sum_0 + t1·half_sum_1), m, term)
//       acc = fma(term, scale_x, acc)
//   dense: acc = fma(x[i], weight[i], acc) in ascending i
// BF16 weights with bf16 dot products are the exception: the bits are one instruction set's own.
// Activations are rounded to bf16 before, once, each row by itself (RowOps::round_row); weights are
// what the file holds; sums are f32. Denormal operands and results count as zero.
//   vector dot products, per pair of inputs in ascending order:
//     acc = fma(x[2p+1], weight[2p+1], acc);  acc = fma(x[2p], weight[2p], acc)
//   tiles (AMX), per 32 inputs in ascending order, even and odd starting from zero:
//     even = fma(x[2p], weight[2p], even), odd = fma(x[2p+1], weight[2p+1], odd) in ascending p
//     acc = acc + (even + odd)
struct MatmulArgs {
  const PackedMatrix* weight = nullptr;
  QuantizedRows quantized;
  const float* dense = nullptr;
  int64_t dense_stride = 0;  // floats between rows of `dense`
  // Rows begin cache lines' halves (bf16_stride is a multiple of 32) and are zero from the last
  // input up to the next multiple of 32.
  const uint16_t* bf16 = nullptr;
  int64_t bf16_stride = 0;
  int64_t num_rows = 0;
  Range panels{0, 0};
  float* out = nullptr;
  int64_t out_stride = 0;
  int64_t first_column = 0;  // the matrix's column that stands at out[0], a multiple of 16
  bool add = false;
  // Where this thread reads weights after the last panel, or null: fetched towards the end of this
  // product. A hint; nothing there is read.
  const uint8_t* next = nullptr;
};

using MatmulFunction = void (*)(const MatmulArgs&);

}  // namespace forerun
