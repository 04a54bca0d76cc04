#include <algorithm>

#include "engine/state.h"

namespace forerun {
namespace {

// Gives a waiting choice the prompt of choice 0, to sample from the same logits in this step. Where
// place or memory is missing it waits its turn like any other and computes its prompt itself.
void start_choice(EngineState& state, const Sequence& first, Sequence& choice) {
  choice.waits_for_fork = false;
  if (static_cast<int>(state.running.size()) >= state.options.max_sequences) return;
  make_lists(state, choice);
  if (!state.cache.fork(first.kv, choice.kv)) return;
  choice.step_rows = 0;
  choice.num_drafted = 0;
  choice.num_prompt_logits = 0;
  choice.logit_row = first.logit_row;
  std::erase(state.waiting, &choice);
  state.running.push_back(&choice);
  state.step_sequences.push_back(&choice);
}

}  // namespace

void fork_choices(EngineState& state) {
  const size_t num_computed = state.step_sequences.size();
  for (size_t i = 0; i < num_computed; ++i) {
    const Sequence& first = *state.step_sequences[i];
    const bool prompt_done = first.logit_row >= 0 && first.output_tokens() == 0;
    if (!prompt_done || first.choice != 0 || first.request->request.n == 1) continue;
    for (const std::unique_ptr<Sequence>& choice : state.sequences) {
      if (choice->request == first.request && choice->waits_for_fork) {
        start_choice(state, first, *choice);
      }
    }
  }
}

}  // namespace forerun
