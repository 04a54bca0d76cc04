// The dense product of kernels/matmul.h over `Product`, one instruction set's way with one weight
// type; included by one source file per set. A panel is read line by line, 64 bytes each. `Product`
// gives:
//   F                       16 sums: zero(), load(p), store(p), a + b
//   X                       what a step reads of a row: a float, or a pair of bf16
//   kLineSteps              steps of a whole line; a last line may hold fewer
//   kSums                   F that fit in registers beside weights and an activation
//   steps(columns), rows(args), stride(args)
//   broadcast(x), weight<step>(line), fma(x, weight, sum)
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/cpu/f32x16_inl.h"
#include "kernels/cpu/matmul_inl.h"

namespace forerun {
namespace {

constexpr int kLineBytes = 64;

// Weights of any dense type, widened exactly and multiplied in f32.
template <DType dtype>
struct FmaProduct {
  using F = F32x16;
  using X = float;
  static constexpr int kLineSteps = dtype == DType::kF32 ? 1 : 2;
#if defined(__AVX512F__)
  static constexpr int kSums = 24;
#else
  static constexpr int kSums = 6;  // two registers each
#endif

  static int64_t steps(int64_t columns) { return columns; }
  static const X* rows(const MatmulArgs& args) { return args.dense; }
  static int64_t stride(const MatmulArgs& args) { return args.dense_stride; }

  static F broadcast(const X& x) { return F::broadcast(x); }
  template <int kStep>
  static F weight(const uint8_t* line) {
    if constexpr (dtype == DType::kF32) return F::load(reinterpret_cast<const float*>(line));
    const auto* halves = reinterpret_cast<const uint16_t*>(line);
    if constexpr (dtype == DType::kF16) return F::load_f16(halves + 16 * kStep);
    return F::template load_bf16_part<kStep>(halves);
  }
  static F fma(F x, F weight, F sum) { return F::fma(x, weight, sum); }
};

// Rows whose sums fit into registers beside those of so many panels.
template <class Product, int kPanels>
constexpr int kTileRows = std::min(12, Product::kSums / kPanels);

template <class Product, int kStep, int kRows, int kPanels>
void dense_step(const uint8_t* line, int64_t panel_bytes, const typename Product::X* x,
                int64_t stride, typename Product::F (&sums)[kPanels][kRows]) {
  decltype(Product::template weight<kStep>(line)) weights[kPanels];
  for (int p = 0; p < kPanels; ++p) {
    weights[p] = Product::template weight<kStep>(line + p * panel_bytes);
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    const auto value = Product::broadcast(x[r * stride]);
    for (int p = 0; p < kPanels; ++p) sums[p][r] = Product::fma(value, weights[p], sums[p][r]);
  }
}

template <class Product, int kRows, int kPanels>
void dense_tile(const MatmulArgs& args, int64_t panel, int64_t row, const Ahead& ahead) {
  const int64_t stride = Product::stride(args);
  const auto* x = Product::rows(args) + row * stride;
  const int64_t steps = Product::steps(args.weight->columns());
  const int64_t panel_bytes = args.weight->panel_bytes();
  const uint8_t* line = args.weight->panel(panel);
  typename Product::F sums[kPanels][kRows];
  for (auto& panel_sums : sums) {
    for (auto& sum : panel_sums) sum = Product::F::zero();
  }
  int64_t step = 0;
  for (; step + Product::kLineSteps <= steps; step += Product::kLineSteps, line += kLineBytes) {
    ahead.fetch(step / Product::kLineSteps * kPanels * kLineBytes);
    dense_step<Product, 0>(line, panel_bytes, x + step, stride, sums);
    if constexpr (Product::kLineSteps == 2) {
      dense_step<Product, 1>(line, panel_bytes, x + step + 1, stride, sums);
    }
  }
  if (step < steps) dense_step<Product, 0>(line, panel_bytes, x + step, stride, sums);
  for (int p = 0; p < kPanels; ++p) {
    float* out = args.out + row * args.out_stride + (panel + p) * kPanelRows - args.first_column;
    for (int r = 0; r < kRows; ++r, out += args.out_stride) {
      const auto sum = args.add ? Product::F::load(out) + sums[p][r] : sums[p][r];
      sum.store(out);
    }
  }
}

using DenseTileFunction = void (*)(const MatmulArgs&, int64_t panel, int64_t row, const Ahead&);

template <class Product, int kPanels, size_t... kIndex>
constexpr auto dense_tile_table(std::index_sequence<kIndex...>) {
  return std::array<DenseTileFunction, sizeof...(kIndex)>{
      &dense_tile<Product, static_cast<int>(kIndex) + 1, kPanels>...};
}

// The rows of kPanels panels, in equal tiles that share fetching what comes next.
template <class Product, int kPanels>
void dense_panels(const MatmulArgs& args, int64_t panel) {
  constexpr int kRows = kTileRows<Product, kPanels>;
  static constexpr auto kTiles =
      dense_tile_table<Product, kPanels>(std::make_index_sequence<kRows>());
  const int64_t num_tiles = (args.num_rows + kRows - 1) / kRows;
  Ahead ahead{panel + kPanels < args.panels.end ? args.weight->panel(panel + kPanels) : args.next,
              0, 0};
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    const int64_t row = args.num_rows * tile / num_tiles;
    const int64_t rows = args.num_rows * (tile + 1) / num_tiles - row;
    ahead.begin = ahead.end;
    if (ahead.record != nullptr) ahead.end = static_cast<int>(kPanels * (tile + 1) / num_tiles);
    kTiles[rows - 1](args, panel, row, ahead);
  }
}

// Few rows take four panels at a time: one row's sums alone would be a chain of dependent
// instructions, slower than memory. Many rows take two, so that a weight serves as many rows as
// registers allow.
template <class Product>
void dense_of(const MatmulArgs& args) {
  int64_t panel = args.panels.begin;
  const int64_t end = args.panels.end;
  if (args.num_rows <= kTileRows<Product, 4>) {
    for (; panel + 4 <= end; panel += 4) dense_panels<Product, 4>(args, panel);
  }
  if (args.num_rows <= kTileRows<Product, 2> || kTileRows<Product, 2> == 12) {
    for (; panel + 2 <= end; panel += 2) dense_panels<Product, 2>(args, panel);
  }
  for (; panel < end; ++panel) dense_panels<Product, 1>(args, panel);
}

inline void dense_by_fma(const MatmulArgs& args) {
  switch (args.weight->dtype()) {
    case DType::kF32:
      return dense_of<FmaProduct<DType::kF32>>(args);
    case DType::kF16:
      return dense_of<FmaProduct<DType::kF16>>(args);
    case DType::kBF16:
      return dense_of<FmaProduct<DType::kBF16>>(args);
    default:
      CHECK(false, "no dense product for this dtype");
  }
}

}  // namespace
}  // namespace forerun
