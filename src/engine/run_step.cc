#include <cmath>

#include "base/check.h"
#include "base/clock.h"
#include "engine/state.h"

namespace forerun {
namespace {

void learn_cost(EngineState& state, double seconds) {
  state.stats.step_seconds += seconds;
  state.stats.timed_seconds += state.first_cost.predict(state.step_work);
  state.stats.mispredicted_seconds += std::abs(seconds - state.cost.predict(state.step_work));
  state.cost.observe(state.step_work, seconds);
}

}  // namespace

bool run_step(EngineState& state) {
  swap_head(state);
  cancel_requests(state);
  sweep(state);
  admit(state);
  plan_step(state);
  if (state.step_tokens.empty()) {
    CHECK(state.sequences.empty(), "the oldest request always has room to move on");
    return false;
  }
  const double begin = now_seconds();
  const double masks_before = state.stats.mask_seconds;
  forward(state);
  fork_choices(state);
  score_prompts(state);
  sample_tokens(state);
  // Waiting for a mask says nothing about the next step.
  const double masks = state.stats.mask_seconds - masks_before;
  const double seconds = now_seconds() - begin - masks;
  learn_cost(state, seconds);
  emit_tokens(state);
  if (state.speculator) state.speculator->settle(seconds);
  sweep(state);
  return true;
}

}  // namespace forerun
