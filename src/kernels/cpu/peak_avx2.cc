#include <immintrin.h>

#include "kernels/cpu/peak_loops.h"

namespace forerun {

double dot_loop_avx2(int64_t iterations) {
  constexpr int kAccumulators = 8;
  __m256i acc[kAccumulators];
  for (__m256i& a : acc) a = _mm256_setzero_si256();
  const __m256i x = _mm256_set1_epi32(0x01020304);
  __m256i y = _mm256_set1_epi32(0x05060708);
  for (int64_t i = 0; i < iterations; ++i) {
    asm volatile("" : "+x"(y));  // keeps the products in the loop
#pragma GCC unroll 16
    for (int j = 0; j < kAccumulators; ++j)
      acc[j] = _mm256_add_epi16(acc[j], _mm256_maddubs_epi16(_mm256_or_si256(x, acc[j]), y));
  }
  for (__m256i& a : acc) asm volatile("" : : "x"(a));
  return static_cast<double>(iterations) * kAccumulators * 32;
}

}  // namespace forerun
