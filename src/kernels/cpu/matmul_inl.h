// The quantised product of kernels/matmul.h over an instruction set's `Ops`; included by one source
// file per set. `Ops` gives:
//   kLanes                      outputs one register pass works on: 8 or 16
//   kMaxRows                    activation rows whose accumulators fit in registers
//   kMaxPairedRows              the same for two panels at a time, or 0: never two
//   kMinPairedRows              from this many rows on two panels are taken at a time
//   F, I                        kLanes floats, kLanes int32
//   zero, broadcast, load, load_f16, store, add, mul, fma, to_float
//   Weights<dtype>(vectors)     where it never takes two panels: one block's weights, unpacked,
//   with Weights<dtype>::dot(x)      their integer product with x[32] dots<dtype, kRows,
//   kPanels>(vectors, panel_bytes, x, stride, dot)
//                               where it may take two:
//                               one block's integer products of rows x[32], `stride` apart, and of
//                               panels, `panel_bytes` apart; `vectors` points at the lanes' first
//                               byte in a record's 64-byte vectors
//   without_offset<dtype>(dot, sum)  takes off what the weights' unsigned form has added
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

// What a tile fetches while it computes, so that memory and arithmetic overlap: of each record of
// the panels that come next, the lines [begin, end). A panel ahead is far enough for memory's
// latency, and the tiles over the same panels share the work.
struct Ahead {
  const uint8_t* record;
  int begin;
  int end;

  void fetch(int64_t offset_bytes) const {
    for (int line = begin; line < end; ++line) {
      __builtin_prefetch(record + offset_bytes + line * 64);
    }
  }
};

// The columns of one panel from `lane` on, for kRows rows.
template <class Ops, int kRows>
void store_tile(const typename Ops::F* acc, const MatmulArgs& args, int64_t row, int64_t column) {
  for (int r = 0; r < kRows; ++r) {
    float* out = args.out + (row + r) * args.out_stride + column;
    Ops::store(out, args.add ? Ops::add(Ops::load(out), acc[r]) : acc[r]);
  }
}

// The integer products of one block, as the instruction set likes them best.
template <class Ops, DType dtype, int kRows, int kPanels>
void block_dots(const uint8_t* vectors, int64_t panel_bytes, const int8_t* x, int64_t stride,
                typename Ops::I (&dot)[kPanels][kRows]) {
  if constexpr (Ops::kMaxPairedRows > 0) {
    Ops::template dots<dtype, kRows, kPanels>(vectors, panel_bytes, x, stride, dot);
  } else {
    static_assert(kPanels == 1);
    const typename Ops::template Weights<dtype> weights(vectors);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) dot[0][r] = weights.dot(x + r * stride);
  }
}

// kPanels panels from `panel` on. All rows' integer dot products of a block are under way at once:
// one row's is a chain of eight dependent instructions.
template <class Ops, DType dtype, int kRows, int kPanels>
void quantized_tile(const MatmulArgs& args, int64_t panel, int lane, int64_t row,
                    const Ahead& ahead) {
  using F = typename Ops::F;
  const QuantizedRows x = args.quantized.from(row);
  const int64_t num_blocks = x.blocks();
  const uint8_t* record = args.weight->panel(panel);
  const int64_t panel_bytes = args.weight->panel_bytes();
  F acc[kPanels][kRows];
  for (int p = 0; p < kPanels; ++p) {
    for (int r = 0; r < kRows; ++r) acc[p][r] = Ops::zero();
  }
  for (int64_t b = 0; b < num_blocks; ++b, record += kRecordBytes<dtype>) {
    ahead.fetch(b * kPanels * kRecordBytes<dtype>);
    typename Ops::I dot[kPanels][kRows];
    block_dots<Ops, dtype, kRows, kPanels>(record + (dtype == DType::kQ4_1 ? 64 : 32) + lane * 4,
                                           panel_bytes, x.values + b * kBlockInputs, x.columns,
                                           dot);
    for (int p = 0; p < kPanels; ++p) {
      const uint8_t* scales = record + p * panel_bytes + lane * 2;
      const F scale = Ops::load_f16(scales);
      [[maybe_unused]] F min;
      if constexpr (dtype == DType::kQ4_1) min = Ops::load_f16(scales + 32);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const int64_t index = r * num_blocks + b;
        const auto exact = Ops::template without_offset<dtype>(dot[p][r], x.sum[index]);
        acc[p][r] = Ops::fma(Ops::to_float(exact), Ops::mul(scale, Ops::broadcast(x.scale[index])),
                             acc[p][r]);
        if constexpr (dtype == DType::kQ4_1) {
          acc[p][r] = Ops::fma(min, Ops::broadcast(x.scaled_sum[index]), acc[p][r]);
        }
      }
    }
  }
  for (int p = 0; p < kPanels; ++p) {
    store_tile<Ops, kRows>(acc[p], args, row, (panel + p) * kPanelRows + lane - args.first_column);
  }
}

using TileFunction = void (*)(const MatmulArgs&, int64_t panel, int lane, int64_t row,
                              const Ahead&);

template <class Ops, DType dtype, int kPanels, size_t... kIndex>
constexpr auto tile_table(std::index_sequence<kIndex...>) {
  return std::array<TileFunction, sizeof...(kIndex)>{
      &quantized_tile<Ops, dtype, static_cast<int>(kIndex) + 1, kPanels>...};
}

// The rows of kPanels panels, in equal tiles: 9 rows go as 5 + 4, not as 8 + 1, so that each
// unpacking serves several rows.
template <class Ops, DType dtype, int kPanels, int kMaxRows>
void all_rows(const MatmulArgs& args, int64_t panel) {
  static constexpr auto kTiles =
      tile_table<Ops, dtype, kPanels>(std::make_index_sequence<kMaxRows>());
  const int64_t num_tiles = (args.num_rows + kMaxRows - 1) / kMaxRows;
  constexpr int kLines = kPanels * kRecordBytes<dtype> / 64;
  Ahead ahead{panel + kPanels < args.panels.end ? args.weight->panel(panel + kPanels) : args.next,
              0, 0};
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    const int64_t row = args.num_rows * tile / num_tiles;
    const int64_t rows = args.num_rows * (tile + 1) / num_tiles - row;
    ahead.begin = ahead.end;
    if (ahead.record != nullptr) ahead.end = static_cast<int>(kLines * (tile + 1) / num_tiles);
    for (int lane = 0; lane < kPanelRows; lane += Ops::kLanes) {
      kTiles[rows - 1](args, panel, lane, row, ahead);
    }
  }
}

template <class Ops, DType dtype>
void matmul_of(const MatmulArgs& args) {
  int64_t panel = args.panels.begin;
  if constexpr (Ops::kMaxPairedRows > 0) {
    if (args.num_rows >= Ops::kMinPairedRows) {
      for (; panel + 2 <= args.panels.end; panel += 2) {
        all_rows<Ops, dtype, 2, Ops::kMaxPairedRows>(args, panel);
      }
    }
  }
  for (; panel < args.panels.end; ++panel) all_rows<Ops, dtype, 1, Ops::kMaxRows>(args, panel);
}

template <class Ops>
void matmul_with(const MatmulArgs& args) {
  switch (args.weight->dtype()) {
    case DType::kQ4_0:
      return matmul_of<Ops, DType::kQ4_0>(args);
    case DType::kQ4_1:
      return matmul_of<Ops, DType::kQ4_1>(args);
    case DType::kQ8_0:
      return matmul_of<Ops, DType::kQ8_0>(args);
    default:
      CHECK(false, "no quantised product for this dtype");
  }
}

}  // namespace
}  // namespace forerun
