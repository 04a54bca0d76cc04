// The matrix product of kernels/matmul.h over an instruction set's `Ops`; included by one source
// file per set. `Ops` gives:
//   kLanes                      outputs one register pass works on: 8 or 16
//   kMaxRows                    activation rows whose accumulators fit in registers
//   F, I                        kLanes floats, kLanes int32
//   zero, broadcast, load, load_f16, store, add, mul, fma, to_float
//   Weights<dtype>(vectors)     one block's weights, unpacked: `vectors` points at the lanes' first
//                               byte in a record's 64-byte vectors
//   Weights<dtype>::dot(x, sum) I − offset · sum of the block, for the activations x[32]
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "kernels/matmul.h"

namespace forerun {
namespace {

template <DType dtype>
constexpr int kRecordBytes = 0;
template <>
constexpr int kRecordBytes<DType::kQ4_0> = 288;
template <>
constexpr int kRecordBytes<DType::kQ4_1> = 320;
template <>
constexpr int kRecordBytes<DType::kQ8_0> = 544;
template <>
constexpr int kRecordBytes<DType::kF32> = 64;
template <>
constexpr int kRecordBytes<DType::kF16> = 32;

// Far enough ahead that a line arrives in time from memory, near enough to stay in L1.
constexpr int kPrefetchBytes = 2048;

// The columns of one panel from `lane` on, for kRows rows.
template <class Ops, int kRows>
void store_tile(const typename Ops::F* acc, const MatmulArgs& args, int64_t row, int64_t column) {
  for (int r = 0; r < kRows; ++r) {
    float* out = args.out + (row + r) * args.out_stride + column;
    Ops::store(out, args.add ? Ops::add(Ops::load(out), acc[r]) : acc[r]);
  }
}

template <class Ops, DType dtype, int kRows>
void quantized_tile(const MatmulArgs& args, int64_t panel, int lane, int64_t row) {
  using F = typename Ops::F;
  const QuantizedRows x = args.quantized.from(row);
  const int64_t num_blocks = x.blocks();
  const uint8_t* record = args.weight->panel(panel);
  F acc[kRows];
  for (int r = 0; r < kRows; ++r) acc[r] = Ops::zero();
  for (int64_t b = 0; b < num_blocks; ++b, record += kRecordBytes<dtype>) {
    for (int line = 0; line < kRecordBytes<dtype>; line += 64) {
      __builtin_prefetch(record + kPrefetchBytes + line);
    }
    const F scale = Ops::load_f16(record + lane * 2);
    const typename Ops::template Weights<dtype> weights(
        record + (dtype == DType::kQ4_1 ? 64 : 32) + lane * 4);
    [[maybe_unused]] F min;
    if constexpr (dtype == DType::kQ4_1) min = Ops::load_f16(record + 32 + lane * 2);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const int64_t index = r * num_blocks + b;
      const auto dot = weights.dot(x.values + r * x.columns + b * kBlockInputs, x.sum[index]);
      acc[r] = Ops::fma(Ops::to_float(dot), Ops::mul(scale, Ops::broadcast(x.scale[index])), acc[r]);
      if constexpr (dtype == DType::kQ4_1) {
        acc[r] = Ops::fma(min, Ops::broadcast(x.scaled_sum[index]), acc[r]);
      }
    }
  }
  store_tile<Ops, kRows>(acc, args, row, panel * kPanelRows + lane - args.first_column);
}

template <class Ops, DType dtype, int kRows>
void dense_tile(const MatmulArgs& args, int64_t panel, int lane, int64_t row) {
  using F = typename Ops::F;
  const int64_t columns = args.weight->columns();
  const float* x = args.dense + row * args.dense_stride;
  const uint8_t* record = args.weight->panel(panel);
  F acc[kRows];
  for (int r = 0; r < kRows; ++r) acc[r] = Ops::zero();
  for (int64_t i = 0; i < columns; ++i, record += kRecordBytes<dtype>) {
    F weight;
    if constexpr (dtype == DType::kF32) {
      weight = Ops::load(reinterpret_cast<const float*>(record) + lane);
    } else {
      weight = Ops::load_f16(record + lane * 2);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      acc[r] = Ops::fma(Ops::broadcast(x[r * args.dense_stride + i]), weight, acc[r]);
    }
  }
  store_tile<Ops, kRows>(acc, args, row, panel * kPanelRows + lane - args.first_column);
}

template <class Ops, DType dtype, int kRows>
void any_tile(const MatmulArgs& args, int64_t panel, int lane, int64_t row) {
  if constexpr (dtype == DType::kF32 || dtype == DType::kF16) {
    dense_tile<Ops, dtype, kRows>(args, panel, lane, row);
  } else {
    quantized_tile<Ops, dtype, kRows>(args, panel, lane, row);
  }
}

using TileFunction = void (*)(const MatmulArgs&, int64_t panel, int lane, int64_t row);

template <class Ops, DType dtype, size_t... kIndex>
constexpr auto tile_table(std::index_sequence<kIndex...>) {
  return std::array<TileFunction, sizeof...(kIndex)>{
      &any_tile<Ops, dtype, static_cast<int>(kIndex) + 1>...};
}

template <class Ops, DType dtype>
void matmul_of(const MatmulArgs& args) {
  static constexpr auto kTiles =
      tile_table<Ops, dtype>(std::make_index_sequence<Ops::kMaxRows>());
  // Equal tiles: 9 rows go as 5 + 4, not as 8 + 1, so that each unpacking serves several rows.
  const int64_t num_tiles = (args.num_rows + Ops::kMaxRows - 1) / Ops::kMaxRows;
  for (int64_t panel = args.panels.begin; panel < args.panels.end; ++panel) {
    for (int64_t tile = 0; tile < num_tiles; ++tile) {
      const int64_t row = args.num_rows * tile / num_tiles;
      const int64_t rows = args.num_rows * (tile + 1) / num_tiles - row;
      for (int lane = 0; lane < kPanelRows; lane += Ops::kLanes) {
        kTiles[rows - 1](args, panel, lane, row);
      }
    }
  }
}

template <class Ops>
void matmul_with(const MatmulArgs& args) {
  switch (args.weight->dtype()) {
    case DType::kQ4_0: return matmul_of<Ops, DType::kQ4_0>(args);
    case DType::kQ4_1: return matmul_of<Ops, DType::kQ4_1>(args);
    case DType::kQ8_0: return matmul_of<Ops, DType::kQ8_0>(args);
    case DType::kF32: return matmul_of<Ops, DType::kF32>(args);
    case DType::kF16: return matmul_of<Ops, DType::kF16>(args);
    default: CHECK(false, "no product for this dtype");
  }
}

}  // namespace
}  // namespace forerun
