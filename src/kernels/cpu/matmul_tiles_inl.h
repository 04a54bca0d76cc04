// The quantised product of kernels/matmul.h by 16 × 32 × 16 integer tile products, over `Tiles`:
// the AMX unit (matmul_amx.cc), or its emulation in plain loops, so that packing and scaling are
// tested on machines without one.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/ops_avx512_inl.h"

namespace forerun {
namespace {

constexpr int kTileRows = 16;

// The record's weights as eight vectors of unsigned bytes, the B tile.
template <DType dtype>
const uint8_t* tile_weights(const uint8_t* record, uint8_t* scratch) {
  if constexpr (dtype == DType::kQ8_0) return record + 32;
  __m512i unpacked[8];
  unpack_nibbles(record + (dtype == DType::kQ4_1 ? 64 : 32), unpacked);
  for (int j = 0; j < 8; ++j) _mm512_store_si512(scratch + 64 * j, unpacked[j]);
  return scratch;
}

// Adds one block's tile of integers to the sums, in the order kernels/matmul.h lays down.
template <DType dtype>
void scale_tile(const QuantizedRows& x, int64_t b, int64_t rows, const uint8_t* record,
                const int32_t* tile, __m512* acc) {
  using V = Avx512Lanes;
  constexpr int kOffset = dtype == DType::kQ8_0 ? 128 : dtype == DType::kQ4_0 ? 8 : 0;
  const __m512 scale = V::load_f16(record);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t index = r * x.blocks() + b;
    __m512i dot = _mm512_load_si512(tile + r * 16);
    if constexpr (kOffset != 0) {
      dot = _mm512_sub_epi32(dot, _mm512_set1_epi32(kOffset * x.sum[index]));
    }
    acc[r] = V::fma(V::to_float(dot), V::mul(scale, V::broadcast(x.scale[index])), acc[r]);
    if constexpr (dtype == DType::kQ4_1) {
      acc[r] = V::fma(V::load_f16(record + 32), V::broadcast(x.scaled_sum[index]), acc[r]);
    }
  }
}

// Rows [row, row + rows) of one panel. The unit always reads 16 rows: a short tile reads copies.
template <class Tiles, DType dtype>
void tile_panel(const Tiles& tiles, const MatmulArgs& args, int64_t panel, int64_t row,
                int64_t rows) {
  alignas(64) uint8_t weights[512];
  alignas(64) int32_t products[2][kTileRows * 16];
  alignas(64) int8_t short_tile[kTileRows * kBlockInputs] = {};
  const QuantizedRows x = args.quantized.from(row);
  const uint8_t* record = args.weight->panel(panel);
  __m512 acc[kTileRows];
  for (int64_t r = 0; r < rows; ++r) acc[r] = Avx512Lanes::zero();
  for (int64_t b = 0; b < x.blocks(); ++b, record += kRecordBytes<dtype>) {
    const int8_t* values = x.values + b * kBlockInputs;
    int64_t stride = x.columns;
    if (rows < kTileRows) {
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(short_tile + r * kBlockInputs, values + r * stride, kBlockInputs);
      }
      values = short_tile;
      stride = kBlockInputs;
    }
    int32_t* product = products[b % 2];
    tiles.product(values, stride, tile_weights<dtype>(record, weights), product);
    scale_tile<dtype>(x, b, rows, record, product, acc);
  }
  for (int64_t r = 0; r < rows; ++r) {
    float* out = args.out + (row + r) * args.out_stride + panel * kPanelRows - args.first_column;
    _mm512_storeu_ps(out, args.add ? _mm512_add_ps(_mm512_loadu_ps(out), acc[r]) : acc[r]);
  }
}

template <class Tiles, DType dtype>
void tiles_of(const MatmulArgs& args) {
  const Tiles tiles;
  for (int64_t panel = args.panels.begin; panel < args.panels.end; ++panel) {
    for (int64_t row = 0; row < args.num_rows; row += kTileRows) {
      tile_panel<Tiles, dtype>(tiles, args, panel, row,
                               std::min<int64_t>(kTileRows, args.num_rows - row));
    }
  }
}

template <class Tiles>
void matmul_by_tiles(const MatmulArgs& args) {
  switch (args.weight->dtype()) {
    case DType::kQ4_0:
      return tiles_of<Tiles, DType::kQ4_0>(args);
    case DType::kQ4_1:
      return tiles_of<Tiles, DType::kQ4_1>(args);
    case DType::kQ8_0:
      return tiles_of<Tiles, DType::kQ8_0>(args);
    default:
      CHECK(false, "no tile product for this dtype");
  }
}

}  // namespace
}  // namespace forerun
