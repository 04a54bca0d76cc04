// The tile form of the BF16 product with the tile unit emulated. Only tests call it.
#include <cmath>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_dense_tiles_inl.h"

namespace forerun {
namespace {

// Denormals are zero.
float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}
float flushed_bf16(uint16_t value) {
  return flushed(bf16_to_f32(value));
}

// One tile product as AMX documents tdpbf16ps: sums [rows][16] += x [rows][32] · weights
// [16][16][2].
void add_tile_product(const uint16_t* x, int64_t stride, int rows, const uint16_t* weights,
                      float* sums) {
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < kPanelRows; ++column) {
      float parts[2] = {};
      for (int i = 0; i < kTileInputs; ++i) {
        const float weight = flushed_bf16(weights[(i / 2 * kPanelRows + column) * 2 + i % 2]);
        float& part = parts[i % 2];
        part = flushed(std::fma(flushed_bf16(x[row * stride + i]), weight, part));
      }
      float& sum = sums[row * kPanelRows + column];
      sum = flushed(sum + flushed(parts[0] + parts[1]));
    }
  }
}

class EmulatedBf16Tiles final {
 public:
  explicit EmulatedBf16Tiles(int rows) : rows_(rows) {}

  template <int kRowTiles, int kPanels>
  void product(const TileBlock& block, float* sums) const {
    for (int t = 0; t < kRowTiles; ++t) {
      for (int p = 0; p < kPanels; ++p, sums += kTileRows * kPanelRows) {
        std::fill_n(sums, rows_ * kPanelRows, 0.0f);
        for (int64_t tile = 0; tile < block.num_tiles; ++tile) {
          const uint8_t* weights = block.weights_of(p, tile);
          add_tile_product(block.x[t] + tile * kTileInputs, block.stride, rows_,
                           reinterpret_cast<const uint16_t*>(weights), sums);
        }
      }
    }
  }

 private:
  int rows_;
};

}  // namespace

void matmul_dense_emulated_tiles(const MatmulArgs& args) {
  if (args.weight->dtype() != DType::kBF16) return matmul_dense_avx512(args);
  bf16_by_tiles<EmulatedBf16Tiles>(args);
}

}  // namespace forerun
