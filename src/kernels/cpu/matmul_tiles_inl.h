// The quantised product of kernels/matmul.h by 16 × 32 × 16 integer tile products (16 × 16 × 16
// where 16 inputs share a scale), over `Tiles`:
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

// Block i's weights as eight vectors of unsigned bytes, the B tile.
template <DType dtype>
const uint8_t* tile_weights(const uint8_t* record, int i, uint8_t* scratch) {
  const uint8_t* planes = planes_of<dtype>(record, i, /*lane=*/0);
  if constexpr (Quant<dtype>::kType.low_bits == 8) return planes;
  unrolled<8>([&](auto quad) {
    _mm512_store_si512(scratch + 64 * quad, weight_bytes<Avx512Lanes, dtype, quad>(planes));
  });
  return scratch;
}

// One block of up to 16 rows, read where they are or, if there are fewer, copied to `scratch`: the
// unit always reads 16.
struct TileInputs {
  TileInputs(const QuantizedRows& x, int64_t b, int64_t rows, int8_t* scratch)
      : values(x.values + b * kBlockInputs), stride(x.columns) {
    if (rows == kTileRows) return;
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(scratch + r * kBlockInputs, values + r * stride, kBlockInputs);
    }
    values = scratch;
    stride = kBlockInputs;
  }
  const int8_t* values;
  int64_t stride;
};

// Adds block b's integers, one tile or one of each half, to the sums in the order kernels/matmul.h
// lays down.
template <DType dtype>
void scale_tiles(const QuantizedRows& x, int64_t b, int64_t rows, const uint8_t* record, int i,
                 const int32_t* tiles, __m512* acc) {
  using V = Avx512Lanes;
  const auto number = [&](int half, int64_t r, int32_t sum) {
    const __m512i dot = _mm512_load_si512(tiles + (half * kTileRows + r) * 16);
    return V::to_float(_mm512_add_epi32(dot, V::start<dtype>(sum)));
  };
  const __m512 scale = scale_of<V, dtype, 0>(record, i, /*lane=*/0);
  if constexpr (Quant<dtype>::kHalved) {
    const __m512 second = scale_of<V, dtype, 1>(record, i, /*lane=*/0);
    const HalvedMins<V, dtype> mins(record, i, /*lane=*/0);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t index = r * x.blocks() + b;
      const int16_t* sums = x.half_sum + 2 * index;
      const __m512 first = V::mul(number(0, r, sums[0]), scale);
      const __m512 term = mins.add_to(V::fma(number(1, r, sums[1]), second, first), sums);
      acc[r] = V::fma(term, V::broadcast(x.scale[index]), acc[r]);
    }
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t index = r * x.blocks() + b;
      acc[r] =
          V::fma(number(0, r, x.sum[index]), V::mul(scale, V::broadcast(x.scale[index])), acc[r]);
      if constexpr (Quant<dtype>::kType.has_min) {
        acc[r] = V::fma(min_of<V, dtype>(record, i, /*lane=*/0), V::broadcast(x.scaled_sum[index]),
                        acc[r]);
      }
    }
  }
}

// Rows [row, row + rows) of one panel.
template <class Tiles, DType dtype>
void tile_panel(const Tiles& unit, const MatmulArgs& args, int64_t panel, int64_t row,
                int64_t rows) {
  constexpr int kTiles = Quant<dtype>::kHalved ? 2 : 1;
  constexpr int kInputs = kBlockInputs / kTiles;
  alignas(64) uint8_t scratch[512];
  alignas(64) int32_t products[2][kTiles * kTileRows * 16];
  alignas(64) int8_t short_tile[kTileRows * kBlockInputs] = {};
  const QuantizedRows x = args.quantized.from(row);
  const uint8_t* record = args.weight->panel(panel);
  __m512 acc[kTileRows];
  for (int64_t r = 0; r < rows; ++r) acc[r] = Avx512Lanes::zero();
  for (int64_t b = 0; b < x.blocks(); record += Quant<dtype>::kLayout.record_bytes) {
    for (int i = 0; i < Quant<dtype>::kBlocks; ++i, ++b) {
      const TileInputs inputs(x, b, rows, short_tile);
      const uint8_t* weights = tile_weights<dtype>(record, i, scratch);
      int32_t* product = products[b % 2];
      for (int half = 0; half < kTiles; ++half) {
        unit.template product<kInputs>(inputs.values + half * kInputs, inputs.stride,
                                       weights + half * kInputs * 16,
                                       product + half * kTileRows * 16);
      }
      scale_tiles<dtype>(x, b, rows, record, i, product, acc);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    float* out = args.out + (row + r) * args.out_stride + panel * kPanelRows - args.first_column;
    _mm512_storeu_ps(out, args.add ? _mm512_add_ps(_mm512_loadu_ps(out), acc[r]) : acc[r]);
  }
}

template <class Tiles, DType dtype>
void tiles_of(const MatmulArgs& args) {
  const Tiles unit;
  for (int64_t panel = args.panels.begin; panel < args.panels.end; ++panel) {
    for (int64_t row = 0; row < args.num_rows; row += kTileRows) {
      tile_panel<Tiles, dtype>(unit, args, panel, row,
                               std::min<int64_t>(kTileRows, args.num_rows - row));
    }
  }
}

template <class Tiles, size_t... row>
constexpr auto tile_products(std::index_sequence<row...>) {
  return std::array<MatmulFunction, sizeof...(row)>{&tiles_of<Tiles, kQuantTraits[row].dtype>...};
}

template <class Tiles>
void matmul_by_tiles(const MatmulArgs& args) {
  static constexpr auto kProducts =
      tile_products<Tiles>(std::make_index_sequence<kQuantTraits.size()>());
  kProducts[quant_index(args.weight->dtype())](args);
}

}  // namespace
}  // namespace forerun
