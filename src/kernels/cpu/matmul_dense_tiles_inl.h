// The BF16 product of kernels/matmul.h by 16 × 32 × 16 tile products, over `Tiles`: the AMX unit
// (matmul_dense_amx.cc), or its emulation in plain loops, so that everything around the unit is
// tested on machines without one. Sums stay in the unit over all inputs.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/cpu/f32x16_inl.h"
#include "kernels/cpu/matmul_inl.h"

namespace forerun {
namespace {

constexpr int kTileRows = 16;
constexpr int64_t kTileInputs = 32;
constexpr int64_t kTileBytes = 1024;  // of one panel's weights: 16 lines

// Up to two tiles of rows by two panels: four sums, whose products the unit overlaps.
struct TileBlock {
  const uint16_t* x[2];  // each tile's first row
  int64_t stride;        // elements between rows
  const uint8_t* weights[2];
  const uint8_t* last_weights[2];  // of the last tile, zeros behind the matrix's last input
  int64_t num_tiles;               // along the inputs
  Ahead ahead;

  const uint8_t* weights_of(int panel, int64_t tile) const {
    return tile + 1 < num_tiles ? weights[panel] + tile * kTileBytes : last_weights[panel];
  }
};

// The rows of one tile that are new: a last tile may begin before the last one's end, so that it is
// whole.
struct FreshRows {
  int64_t begin;
  int64_t end;
};

inline void store_rows(const MatmulArgs& args, const float* sums, int64_t first_row,
                       const FreshRows& fresh, int64_t panel) {
  for (int64_t row = fresh.begin; row < fresh.end; ++row) {
    float* out = args.out + row * args.out_stride + panel * kPanelRows - args.first_column;
    const F32x16 sum = F32x16::load(sums + (row - first_row) * kPanelRows);
    (args.add ? F32x16::load(out) + sum : sum).store(out);
  }
}

// One or two panels, all rows.
template <class Tiles, int kPanels>
void tile_panels(Tiles& tiles, const MatmulArgs& args, int64_t panel) {
  alignas(64) uint8_t last_weights[kPanels][kTileBytes] = {};
  alignas(64) float sums[2][kPanels][kTileRows * kPanelRows];
  const int64_t panel_bytes = args.weight->panel_bytes();
  TileBlock block{};
  block.stride = args.bf16_stride;
  block.num_tiles = (panel_bytes + kTileBytes - 1) / kTileBytes;
  const int64_t whole_bytes = (block.num_tiles - 1) * kTileBytes;
  for (int p = 0; p < kPanels; ++p) {
    block.weights[p] = args.weight->panel(panel + p);
    std::memcpy(last_weights[p], block.weights[p] + whole_bytes, panel_bytes - whole_bytes);
    block.last_weights[p] = last_weights[p];
  }
  const int64_t num_blocks = (args.num_rows + 2 * kTileRows - 1) / (2 * kTileRows);
  block.ahead = {
      panel + kPanels < args.panels.end ? args.weight->panel(panel + kPanels) : args.next, 0, 0};
  const auto first_row_of = [&](int64_t row) {
    return std::max<int64_t>(0, std::min(row, args.num_rows - kTileRows));
  };
  for (int64_t b = 0; b < num_blocks; ++b) {
    const int64_t begin = b * 2 * kTileRows;
    const int64_t middle = std::min(begin + kTileRows, args.num_rows);
    const int64_t end = std::min(middle + kTileRows, args.num_rows);
    const int64_t first[2] = {first_row_of(begin), first_row_of(middle)};
    for (int t = 0; t < 2; ++t) block.x[t] = args.bf16 + first[t] * args.bf16_stride;
    block.ahead.begin = block.ahead.end;
    if (block.ahead.record != nullptr) {
      block.ahead.end = static_cast<int>(kTileRows * kPanels * (b + 1) / num_blocks);
    }
    if (middle < end) {
      tiles.template product<2, kPanels>(block, sums[0][0]);
    } else {
      tiles.template product<1, kPanels>(block, sums[0][0]);
    }
    for (int p = 0; p < kPanels; ++p) {
      store_rows(args, sums[0][p], first[0], {begin, middle}, panel + p);
      store_rows(args, sums[1][p], first[1], {middle, end}, panel + p);
    }
  }
}

template <class Tiles>
void bf16_by_tiles(const MatmulArgs& args) {
  Tiles tiles(static_cast<int>(std::min<int64_t>(args.num_rows, kTileRows)));
  int64_t panel = args.panels.begin;
  for (; panel + 2 <= args.panels.end; panel += 2) tile_panels<Tiles, 2>(tiles, args, panel);
  for (; panel < args.panels.end; ++panel) tile_panels<Tiles, 1>(tiles, args, panel);
}

}  // namespace
}  // namespace forerun
