#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"
#include "kernels/cpu/matmul_pairs_inl.h"
#include "kernels/cpu/ops_avx512_inl.h"

namespace forerun {
namespace {

struct Avx512Ops : Avx512Lanes, PairDots<Avx512Ops> {
  static constexpr int kMaxRows = 8;
  static constexpr int kMaxHalvedRows = 8;
  static constexpr int kMaxPairedRows = 0;
  static constexpr int kMaxPairedHalvedRows = 0;
  using PairDots::start;

  static B maddubs(B u, B s) { return _mm512_maddubs_epi16(u, s); }
  static B add_i16(B a, B b) { return _mm512_add_epi16(a, b); }
  static B add_i32(B a, B b) { return _mm512_add_epi32(a, b); }
  static B madd_ones(B v) { return _mm512_madd_epi16(v, _mm512_set1_epi16(1)); }
  static B abs_i8(B v) { return _mm512_abs_epi8(v); }
  static B with_sign(B x, B w) {
    return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
  }
  static B flip_top_bits(B v) {
    return _mm512_xor_si512(v, _mm512_set1_epi8(static_cast<char>(0x80)));
  }
};

}  // namespace

void matmul_avx512(const MatmulArgs& args) {
  matmul_with<Avx512Ops>(args);
}

}  // namespace forerun
