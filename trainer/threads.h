#pragma once

namespace forerun {

// How many threads the library's operations use, matrix products included.
void set_num_threads(int num_threads);

// Lets this process's threads, those of libraries included, give way to others': by 10 degrees of
// niceness, or wholly (SCHED_IDLE).
void give_way(bool wholly);

}  // namespace forerun
