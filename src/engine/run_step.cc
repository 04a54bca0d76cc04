#include "base/check.h"
#include "engine/state.h"

namespace forerun {

bool run_step(EngineState& state) {
  cancel_requests(state);
  sweep(state);
  admit(state);
  plan_step(state);
  if (state.step_tokens.empty()) {
    CHECK(state.sequences.empty(), "the oldest request always has room to move on");
    return false;
  }
  forward(state);
  fork_choices(state);
  score_prompts(state);
  sample_tokens(state);
  emit_tokens(state);
  sweep(state);
  return true;
}

}  // namespace forerun
