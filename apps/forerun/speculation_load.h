#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace forerun {

// Requests that go through one engine, a number of them at a time, while drafting is switched on
// and off by turns. What is answered is the same either way, so both measure the same work.
struct SpeculationLoad {
  std::vector<Request> requests;  // in order
  int concurrency = 1;
  double slice_seconds = 2.0;  // of a turn
  bool alternate = true;       // else it is always on
  // Prompts are computed as their turn comes; else before, into the prefix cache.
  bool cold = false;
};

// What one turn brought in the steps that only decoded, as many requests as wanted.
struct SpeculationSlice {
  bool drafting = false;
  double seconds = 0.0;
  int64_t tokens = 0;
};

struct SpeculationOutcome {
  std::vector<std::vector<int32_t>> outputs;  // of each request
  std::vector<SpeculationSlice> slices;
  double seconds = 0.0;
  EngineStats before, after;
};

// Until all requests are answered. An Error is the engine's, or a request's.
Result<SpeculationOutcome> run_load(Engine& engine, SpeculationLoad load);

// How much faster the turns with drafts were than those beside them without.
struct SpeedUp {
  double ratio = 0.0;  // in the median pair; 0 where there is none
  double low = 0.0;    // 95 % interval of the mean, by Student's t of the logarithms
  double high = 0.0;
  int pairs = 0;
};
SpeedUp speed_up(const std::vector<SpeculationSlice>& slices);

}  // namespace forerun
