#include <immintrin.h>

#include "kernels/cpu/peak_loops.h"

namespace forerun {

double dot_loop_avx512(int64_t iterations) {
  constexpr int kAccumulators = 12;
  __m512i acc[kAccumulators];
  for (__m512i& a : acc) a = _mm512_setzero_si512();
  const __m512i x = _mm512_set1_epi32(0x01020304);
  __m512i y = _mm512_set1_epi32(0x05060708);
  for (int64_t i = 0; i < iterations; ++i) {
    asm volatile("" : "+v"(y));  // keeps the products in the loop
#pragma GCC unroll 16
    for (int j = 0; j < kAccumulators; ++j)
      acc[j] = _mm512_add_epi16(acc[j], _mm512_maddubs_epi16(_mm512_or_si512(x, acc[j]), y));
  }
  for (__m512i& a : acc) asm volatile("" : : "v"(a));
  return static_cast<double>(iterations) * kAccumulators * 64;
}

}  // namespace forerun
