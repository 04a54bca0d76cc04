// The tile form of the product with the tile unit emulated: what AMX machines run, minus AMX. Only
// tests call it.
#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_tiles_inl.h"

namespace forerun {
namespace {

struct EmulatedTiles {
  template <int kInputs>
  void product(const int8_t* x, int64_t stride, const uint8_t* b, int32_t* c) const {
    for (int row = 0; row < kTileRows; ++row) {
      for (int column = 0; column < 16; ++column) {
        int32_t acc = 0;
        for (int i = 0; i < kInputs; ++i) {
          acc += x[row * stride + i] * b[i / 4 * 64 + column * 4 + i % 4];
        }
        c[row * 16 + column] = acc;
      }
    }
  }
};

}  // namespace

void matmul_emulated_tiles(const MatmulArgs& args) {
  if (!args.weight->is_quantized()) return matmul_dense_emulated_tiles(args);
  matmul_by_tiles<EmulatedTiles>(args);
}

}  // namespace forerun
