#include "base/clock.h"
#include "engine/state.h"

namespace forerun {

void forward(EngineState& state) {
  const double begin = now_seconds();
  state.decoder.step(
      {state.step_tokens, state.step_groups, state.step_logit_rows, /*tap=*/nullptr},
      state.cache.pool());
  const auto rows = static_cast<int64_t>(state.step_tokens.size());
  state.cost.observe(rows, state.step_keys, now_seconds() - begin);
  ++state.stats.steps;
  for (Sequence* sequence : state.step_sequences) {
    const int64_t computed = sequence->kv.num_tokens + sequence->step_rows;
    const int64_t of_prompt = std::min(computed, sequence->prompt_tokens) -
                              std::min(sequence->kv.num_tokens, sequence->prompt_tokens);
    state.stats.prompt_tokens += of_prompt;
    state.cache.commit(sequence->kv, {sequence->tokens.data(), static_cast<size_t>(computed)},
                       sequence->request->request.use_prefix_cache);
  }
}

}  // namespace forerun
