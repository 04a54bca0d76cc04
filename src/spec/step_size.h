#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "spec/speculation.h"

namespace forerun {

// Where SpeculationStats::measured tells of steps of so many sequences.
inline int step_size(uint64_t sequences) {
  return std::min<int>(std::bit_width(sequences), kNumStepSizes - 1);
}

// The fewest sequences of a size, from 1 on.
inline int64_t least_sequences(int size) {
  return int64_t{1} << (size - 1);
}

}  // namespace forerun
