#include <algorithm>
#include <limits>
#include <vector>

#include "base/clock.h"
#include "engine/state.h"

namespace forerun {
namespace {

// Seconds of the fastest of two steps of `rows` rows at a depth. All pages of the table are page 0:
// time does not depend on what the keys are, and no other memory is touched.
double time_step(EngineState& state, int rows, int64_t depth) {
  const std::vector<int32_t> pages((depth + rows) / kPageTokens + 1, 0);
  const std::vector<int32_t> tokens(rows, 0);
  const RowGroup group{rows, depth, pages, nullptr};
  const int32_t last = rows - 1;
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < 2; ++i) {
    const double begin = now_seconds();
    state.decoder.step({tokens, {&group, 1}, {&last, 1}, nullptr}, state.cache.pool());
    best = std::min(best, now_seconds() - begin);
  }
  return best;
}

}  // namespace

void calibrate(EngineState& state) {
  constexpr int64_t kDepth = 1024;
  const int rows = std::min(32, state.options.max_step_rows);
  const double one = time_step(state, 1, 0);
  const double many = time_step(state, rows, 0);
  const double deep = time_step(state, rows, kDepth);
  const double row = rows > 1 ? std::max((many - one) / (rows - 1), 1e-9) : one;
  const double key = std::max((deep - many) / static_cast<double>(rows * kDepth), 1e-12);
  state.cost = StepCost(std::max(one - row, 1e-9), row, key);
}

}  // namespace forerun
