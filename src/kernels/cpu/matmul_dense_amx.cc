#include <immintrin.h>

#include <array>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_dense_tiles_inl.h"

namespace forerun {
namespace {

// Tiles 0 … 3 hold sums, 4 and 5 activations (rows × 64 bytes), 6 and 7 weights (16 × 64 bytes).
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t num_rows[16] = {};

  explicit constexpr TileConfig(uint8_t rows) {
    for (int tile = 0; tile < 6; ++tile) num_rows[tile] = rows;
    num_rows[6] = num_rows[7] = 16;
  }
};

template <size_t... kIndex>
constexpr std::array<TileConfig, sizeof...(kIndex)> make_configs(std::index_sequence<kIndex...>) {
  return {TileConfig(static_cast<uint8_t>(kIndex + 1))...};
}

// By the number of rows. Static for the reason given in matmul_amx.cc.
const std::array<TileConfig, kTileRows> kConfigs =
    make_configs(std::make_index_sequence<kTileRows>());

class AmxBf16Tiles final {
 public:
  explicit AmxBf16Tiles(int rows) { _tile_loadconfig(&kConfigs[rows - 1]); }
  ~AmxBf16Tiles() { _tile_release(); }
  AmxBf16Tiles(const AmxBf16Tiles&) = delete;
  AmxBf16Tiles& operator=(const AmxBf16Tiles&) = delete;

  // sums [2][kPanels][16][16]; the numbers are literals because GCC 12's intrinsics paste them into
  // assembler text.
  template <int kRowTiles, int kPanels>
  void product(const TileBlock& block, float* sums) const {
    // GCC 12's tile loads do not say that they read memory.
    asm volatile("" ::: "memory");
    const int64_t stride = block.stride * static_cast<int64_t>(sizeof(uint16_t));
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t tile = 0; tile < block.num_tiles; ++tile) {
      block.ahead.fetch(tile * kPanels * kTileBytes);
      _tile_loadd(4, block.x[0] + tile * kTileInputs, stride);
      _tile_loadd(6, block.weights_of(0, tile), 64);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kPanels == 2) {
        _tile_loadd(7, block.weights_of(1, tile), 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (kRowTiles == 2) {
        _tile_loadd(5, block.x[1] + tile * kTileInputs, stride);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (kPanels == 2) _tile_dpbf16ps(3, 5, 7);
      }
    }
    constexpr int kTileFloats = kTileRows * kPanelRows;
    _tile_stored(0, sums, 64);
    if constexpr (kPanels == 2) _tile_stored(1, sums + kTileFloats, 64);
    if constexpr (kRowTiles == 2) {
      _tile_stored(2, sums + kPanels * kTileFloats, 64);
      if constexpr (kPanels == 2) _tile_stored(3, sums + 3 * kTileFloats, 64);
    }
    asm volatile("" ::: "memory");
  }
};

}  // namespace

// One instruction for every number of rows, as its bits are not the vector form's: from one row to
// sixteen a tile costs the same, and its weights come no faster from memory for a vector.
void matmul_dense_amx(const MatmulArgs& args) {
  if (args.weight->dtype() != DType::kBF16) return matmul_dense_avx512(args);
  bf16_by_tiles<AmxBf16Tiles>(args);
}

}  // namespace forerun
