#include <immintrin.h>

#include "kernels/cpu/peak_loops.h"

namespace forerun {

double bf16_loop_vector(int64_t iterations) {
  constexpr int kAccumulators = 12;
  __m512 acc[kAccumulators];
  for (__m512& a : acc) a = _mm512_setzero_ps();
  const auto x = (__m512bh)_mm512_set1_epi16(0x3f80);
  __m512i y = _mm512_set1_epi16(0x3f80);
  for (int64_t i = 0; i < iterations; ++i) {
    asm volatile("" : "+v"(y));  // keeps the products in the loop
#pragma GCC unroll 16
    for (int j = 0; j < kAccumulators; ++j) acc[j] = _mm512_dpbf16_ps(acc[j], x, (__m512bh)y);
  }
  for (__m512& a : acc) asm volatile("" : : "v"(a));
  return static_cast<double>(iterations) * kAccumulators * 32;
}

}  // namespace forerun
