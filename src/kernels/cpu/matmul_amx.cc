#include <immintrin.h>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_tiles_inl.h"

namespace forerun {
namespace {

// One block's product per tile instruction: tile 1 (A) is up to 16 activation rows × 32 bytes, tile
// 2 (B) the block's eight vectors (input quads × 16 outputs), tile 0 (C) 16 × 16 int32. Tiles 3 and
// 4 are A and B of half a block. The numbers are literals because GCC 12's intrinsics paste them
// into assembler text.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 32, 64, 16, 64};
  uint8_t num_rows[16] = {16, 16, 8, 16, 4};
};

// Static, because GCC 12 believes _tile_loadconfig reads eight bytes only and would drop the stores
// to a local one.
static const TileConfig kConfig;

struct AmxTiles {
  AmxTiles() { _tile_loadconfig(&kConfig); }
  ~AmxTiles() { _tile_release(); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  // c[16][16] = x[16][kInputs] · b, with x rows `stride` bytes apart.
  template <int kInputs>
  void product(const int8_t* x, int64_t stride, const uint8_t* b, int32_t* c) const {
    // GCC 12's tile loads do not say that they read memory.
    asm volatile("" ::: "memory");
    _tile_zero(0);
    if constexpr (kInputs == 32) {
      _tile_loadd(1, x, stride);
      _tile_loadd(2, b, 64);
      _tile_dpbsud(0, 1, 2);
    } else {
      static_assert(kInputs == 16);
      _tile_loadd(3, x, stride);
      _tile_loadd(4, b, 64);
      _tile_dpbsud(0, 3, 4);
    }
    _tile_stored(0, c, 64);
  }
};

}  // namespace

void matmul_amx(const MatmulArgs& args) {
  // Below a third of a tile the vector form is faster, and the integers are the same.
  if (args.num_rows < 5) return matmul_vnni(args);
  matmul_by_tiles<AmxTiles>(args);
}

}  // namespace forerun
