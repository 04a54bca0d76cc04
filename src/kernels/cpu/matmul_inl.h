// The quantised product of kernels/matmul.h over an instruction set's `Ops`; included by one source
// file per set. `Ops` gives:
//   kLanes                      outputs one register pass works on: 8 or 16
//   kMaxRows                    activation rows whose accumulators fit in registers; kMaxHalvedRows
//                               where 16 inputs share a scale
//   kMaxPairedRows              the same for two panels at a time, or 0: never two;
//                               kMaxPairedHalvedRows
//   kMinPairedRows              from this many rows on two panels are taken at a time
//   F, I, B                     kLanes floats, int32, and 4 bytes of each lane
//   zero, broadcast, load, load_f16, store, add, mul, fma, to_float, and what matmul_weights_inl.h
//   asks for
//   start<dtype>(sum)           what an integer product starts from: minus what the unsigned form
//                               of the weights will add to it
//   add_dots<dtype, kFirst, kCount, kRows, kPanels>(planes, panel_bytes, x, stride, dot)
//                               integer products with inputs 4·kFirst … of a block, 4·kCount of
//                               them, of rows `stride` apart and panels `panel_bytes` apart
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "kernels/cpu/matmul_weights_inl.h"
#include "kernels/matmul.h"

namespace forerun {
namespace {

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

// Another member may have read, or written, what a tile will write: its lines come over while it
// computes, not as it stores.
template <int kRows>
void claim_tile(const MatmulArgs& args, int64_t row, int64_t column) {
  for (int r = 0; r < kRows; ++r) {
    __builtin_prefetch(args.out + (row + r) * args.out_stride + column, /*for writing*/ 1);
  }
}

// Half a block of a type whose halves have scales of their own.
template <class Ops, DType dtype, int kHalf, int kRows, int kPanels>
void half_terms(const uint8_t* record, int i, int lane, int64_t panel_bytes, const QuantizedRows& x,
                int64_t b, typename Ops::F (&term)[kPanels][kRows]) {
  typename Ops::I dot[kPanels][kRows];
  for (int r = 0; r < kRows; ++r) {
    const auto start = Ops::template start<dtype>(x.half_sum[(r * x.blocks() + b) * 2 + kHalf]);
    for (int p = 0; p < kPanels; ++p) dot[p][r] = start;
  }
  Ops::template add_dots<dtype, 4 * kHalf, 4, kRows, kPanels>(
      planes_of<dtype>(record, i, lane), panel_bytes, x.values + b * kBlockInputs, x.columns, dot);
  for (int p = 0; p < kPanels; ++p) {
    const auto scale = scale_of<Ops, dtype, kHalf>(record + p * panel_bytes, i, lane);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto number = Ops::to_float(dot[p][r]);
      term[p][r] = kHalf == 0 ? Ops::mul(number, scale) : Ops::fma(number, scale, term[p][r]);
    }
  }
}

template <class Ops, DType dtype, int kRows, int kPanels>
void add_halved_block(const uint8_t* record, int i, int lane, int64_t panel_bytes,
                      const QuantizedRows& x, int64_t b, typename Ops::F (&acc)[kPanels][kRows]) {
  typename Ops::F term[kPanels][kRows];
  half_terms<Ops, dtype, 0>(record, i, lane, panel_bytes, x, b, term);
  half_terms<Ops, dtype, 1>(record, i, lane, panel_bytes, x, b, term);
  for (int p = 0; p < kPanels; ++p) {
    [[maybe_unused]] const HalvedMins<Ops, dtype> mins(record + p * panel_bytes, i, lane);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const int64_t index = r * x.blocks() + b;
      acc[p][r] = Ops::fma(mins.add_to(term[p][r], x.half_sum + 2 * index),
                           Ops::broadcast(x.scale[index]), acc[p][r]);
    }
  }
}

// All rows' integer dot products of a block are under way at once: one row's is a chain of eight
// dependent instructions.
template <class Ops, DType dtype, int kRows, int kPanels>
void add_block(const uint8_t* record, int i, int lane, int64_t panel_bytes, const QuantizedRows& x,
               int64_t b, typename Ops::F (&acc)[kPanels][kRows]) {
  typename Ops::I dot[kPanels][kRows];
  for (int r = 0; r < kRows; ++r) {
    const auto start = Ops::template start<dtype>(x.sum[r * x.blocks() + b]);
    for (int p = 0; p < kPanels; ++p) dot[p][r] = start;
  }
  Ops::template add_dots<dtype, 0, 8, kRows, kPanels>(
      planes_of<dtype>(record, i, lane), panel_bytes, x.values + b * kBlockInputs, x.columns, dot);
  for (int p = 0; p < kPanels; ++p) {
    const auto scale = scale_of<Ops, dtype, 0>(record + p * panel_bytes, i, lane);
    [[maybe_unused]] typename Ops::F min;
    if constexpr (Quant<dtype>::kType.has_min) {
      min = min_of<Ops, dtype>(record + p * panel_bytes, i, lane);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const int64_t index = r * x.blocks() + b;
      acc[p][r] = Ops::fma(Ops::to_float(dot[p][r]),
                           Ops::mul(scale, Ops::broadcast(x.scale[index])), acc[p][r]);
      if constexpr (Quant<dtype>::kType.has_min) {
        acc[p][r] = Ops::fma(min, Ops::broadcast(x.scaled_sum[index]), acc[p][r]);
      }
    }
  }
}

// kPanels panels from `panel` on.
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
    claim_tile<kRows>(args, row, (panel + p) * kPanelRows + lane - args.first_column);
    for (int r = 0; r < kRows; ++r) acc[p][r] = Ops::zero();
  }
  for (int64_t b = 0; b < num_blocks; record += Quant<dtype>::kLayout.record_bytes) {
    for (int i = 0; i < Quant<dtype>::kBlocks; ++i, ++b) {
      ahead.fetch(b * kPanels * Quant<dtype>::kBytesPerBlock);
      if constexpr (Quant<dtype>::kHalved) {
        add_halved_block<Ops, dtype>(record, i, lane, panel_bytes, x, b, acc);
      } else {
        add_block<Ops, dtype>(record, i, lane, panel_bytes, x, b, acc);
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
  constexpr int kLines = (kPanels * Quant<dtype>::kBytesPerBlock + 63) / 64;
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
void matmul_quantized(const MatmulArgs& args) {
  constexpr bool kHalved = Quant<dtype>::kHalved;
  constexpr int kPairedRows = kHalved ? Ops::kMaxPairedHalvedRows : Ops::kMaxPairedRows;
  int64_t panel = args.panels.begin;
  if constexpr (kPairedRows > 0) {
    if (args.num_rows >= Ops::kMinPairedRows) {
      for (; panel + 2 <= args.panels.end; panel += 2) {
        all_rows<Ops, dtype, 2, kPairedRows>(args, panel);
      }
    }
  }
  for (; panel < args.panels.end; ++panel) {
    all_rows<Ops, dtype, 1, kHalved ? Ops::kMaxHalvedRows : Ops::kMaxRows>(args, panel);
  }
}

template <class Ops, size_t... row>
constexpr auto quantized_products(std::index_sequence<row...>) {
  return std::array<MatmulFunction, sizeof...(row)>{
      &matmul_quantized<Ops, kQuantTraits[row].dtype>...};
}

template <class Ops>
void matmul_with(const MatmulArgs& args) {
  static constexpr auto kProducts =
      quantized_products<Ops>(std::make_index_sequence<kQuantTraits.size()>());
  kProducts[quant_index(args.weight->dtype())](args);
}

}  // namespace
}  // namespace forerun
