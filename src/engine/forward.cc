#include "base/clock.h"
#include "engine/state.h"

namespace forerun {
namespace {

void run_model(EngineState& state) {
  const double begin = now_seconds();
  state.decoder.step({state.step_tokens, state.step_groups, state.step_logit_rows,
                      state.options.keep_states ? &state.tap : nullptr},
                     state.cache.pool());
  const double seconds = now_seconds() - begin;
  state.stats.forward_seconds += seconds;
  ++state.stats.steps;
}

void commit_known(EngineState& state, Sequence& sequence) {
  const int64_t computed = sequence.kv.num_tokens + sequence.step_rows;
  state.stats.prompt_tokens += std::min(computed, sequence.prompt_tokens()) -
                               std::min(sequence.kv.num_tokens, sequence.prompt_tokens());
  commit(state, sequence, computed);
}

}  // namespace

void commit(EngineState& state, Sequence& sequence, int64_t computed) {
  state.cache.commit(sequence.kv, {sequence.tokens.data(), static_cast<size_t>(computed)},
                     sequence.request->request.use_prefix_cache);
}

void forward(EngineState& state) {
  run_model(state);
  // Before a commit exchanges a page for one that holds the same already.
  keep_states(state);
  for (Sequence* sequence : state.step_sequences) commit_known(state, *sequence);
}

}  // namespace forerun
