#include <immintrin.h>

#include "kernels/cpu/peak_loops.h"

namespace forerun {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64};
  uint8_t num_rows[16] = {16, 16, 16, 16, 16, 16};
};

// Static for the reason given in matmul_amx.cc.
static const TileConfig kConfig;

void zero_tiles() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
}

}  // namespace

double dot_loop_amx(int64_t iterations) {
  // Each tile product takes 16 cycles where a vector one takes one.
  const int64_t rounds = iterations / 16;
  _tile_loadconfig(&kConfig);
  zero_tiles();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbsud(0, 4, 5);
    _tile_dpbsud(1, 4, 5);
    _tile_dpbsud(2, 4, 5);
    _tile_dpbsud(3, 4, 5);
  }
  _tile_release();
  return static_cast<double>(rounds) * 4 * 16 * 16 * 64;
}

double bf16_loop_amx(int64_t iterations) {
  const int64_t rounds = iterations / 16;
  _tile_loadconfig(&kConfig);
  zero_tiles();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_release();
  return static_cast<double>(rounds) * 4 * 16 * 16 * 32;
}

}  // namespace forerun
