#pragma once

namespace forerun {

// How many threads the library's operations use, matrix products included.
void set_num_threads(int num_threads);

// Lets this process's threads, those of libraries included, give way to others': by 10 degrees of
// niceness, or wholly (SCHED_IDLE).
void give_way(bool wholly);

// Operations per second of the library's product of two f32 matrices of 2048 × 2048, the best of
// a few, with the threads that are set.
double measure_product_rate();

}  // namespace forerun
