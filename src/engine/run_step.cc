#include <cmath>

#include "base/check.h"
#include "base/clock.h"
#include "engine/state.h"

namespace forerun {
namespace {

// `seconds` of the step as a whole.
void add_load(EngineState& state, double seconds, int64_t generated_tokens) {
  const auto timed = [&](int threads) {
    return state.team_costs.timed(threads).predict(state.step_work);
  };
  EngineLoad step;
  step.busy_seconds = seconds;
  step.sequence_seconds = seconds * static_cast<double>(state.running.size());
  step.key_seconds = seconds * static_cast<double>(state.step_work.keys_read);
  step.generated_tokens = generated_tokens;
  if (state.options.smaller_team > 0) {
    step.timed_seconds = timed(state.team.capacity());
    step.timed_smaller_seconds = timed(state.options.smaller_team);
  }
  state.load.add(step);
}

void learn_cost(EngineState& state, double seconds) {
  state.stats.step_seconds += seconds;
  state.stats.timed_seconds += state.first_cost.predict(state.step_work);
  state.stats.mispredicted_seconds += std::abs(seconds - state.cost.predict(state.step_work));
  state.cost.observe(state.step_work, seconds);
  state.averages[static_cast<size_t>(state.team.size())].observe(state.step_work, seconds);
}

}  // namespace

bool run_step(EngineState& state) {
  const double step_begin = now_seconds();
  const int64_t generated_before = state.stats.generated_tokens;
  resize_team(state);
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
  add_load(state, now_seconds() - step_begin, state.stats.generated_tokens - generated_before);
  sweep(state);
  return true;
}

}  // namespace forerun
