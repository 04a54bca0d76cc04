#include "kernels/cpu/peak_loops.h"

namespace forerun {

double dot_loop_generic(int64_t iterations) {
  constexpr int kValues = 64;
  int16_t x[kValues];
  int16_t y[kValues];
  for (int i = 0; i < kValues; ++i) {
    x[i] = static_cast<int16_t>(i);
    y[i] = static_cast<int16_t>(3 * i);
  }
  int32_t sum = 0;
  for (int64_t i = 0; i < iterations; ++i) {
    asm volatile("" : : "r"(x), "r"(y) : "memory");
    for (int j = 0; j < kValues; ++j) sum += x[j] * y[j];
  }
  asm volatile("" : : "r"(sum));
  return static_cast<double>(iterations) * kValues;
}

uint64_t sum_words(const uint64_t* words, int64_t count) {
  constexpr int kLanes = 32;
  uint64_t acc[kLanes] = {};
  for (int64_t i = 0; i < count; i += kLanes) {
    __builtin_prefetch(words + i + 512);
    for (int lane = 0; lane < kLanes; ++lane) acc[lane] += words[i + lane];
  }
  uint64_t sum = 0;
  for (const uint64_t lane : acc) sum += lane;
  return sum;
}

}  // namespace forerun
