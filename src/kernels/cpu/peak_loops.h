#pragma once

#include <cstdint>

namespace forerun {

// Runs `iterations` of independent dot products, of integers or bf16, on registers; returns the
// multiply-adds done.
using PeakLoop = double (*)(int64_t iterations);

double dot_loop_generic(int64_t iterations);
double dot_loop_avx2(int64_t iterations);
double dot_loop_avx512(int64_t iterations);
double dot_loop_vnni(int64_t iterations);
double dot_loop_amx(int64_t iterations);
double bf16_loop_vector(int64_t iterations);
double bf16_loop_amx(int64_t iterations);

// The sum of `count` words, a multiple of 32, as fast as they can be read.
uint64_t sum_words(const uint64_t* words, int64_t count);

}  // namespace forerun
