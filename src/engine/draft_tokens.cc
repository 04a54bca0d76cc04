#include <algorithm>

#include "engine/state.h"

namespace forerun {
namespace {

// Tokens of a draft that could still be output, one more being sampled behind them.
int most_drafted(const EngineState& state, const Sequence& sequence) {
  const int64_t left = std::min(sequence.request->max_tokens - sequence.output_tokens(),
                                state.sequence_limit - sequence.num_tokens());
  return static_cast<int>(std::clamp<int64_t>(left - 1, 0, kMaxDraft));
}

DraftTask task_of(EngineState& state, Sequence& sequence, int most) {
  const ActiveRequest& request = *sequence.request;
  DraftTask task;
  task.place = sequence.draft_place;
  task.tokens = sequence.tokens;
  task.max_tokens = most;
  // A grammar's masks are made along one text.
  task.chain_only = sequence.grammar != nullptr;
  task.sampling = &request.request.sampling;
  task.penalties = sequence.penalties ? &*sequence.penalties : nullptr;
  task.noise = noise_of(sequence, /*num_followed=*/0);
  task.states = {&state.cache.pool(), kStatesArray, sequence.kv.pages};
  return task;
}

// Room for the drafted tokens' keys and values, if it can be had without taking it from a sequence.
void take_draft(EngineState& state, Sequence& sequence) {
  const auto wanted = std::ssize(state.speculator->draft_of(sequence.draft_place));
  if (wanted == 0) return;
  if (!state.cache.reserve(sequence.kv, sequence.num_tokens() + wanted)) {
    state.speculator->drop(sequence.draft_place);
    return;
  }
  sequence.num_drafted = static_cast<int>(wanted);
  state.step_work.add_rows(wanted, sequence.num_tokens());
  if (sequence.grammar) {
    state.mask_maker->follow(sequence.grammar, state.speculator->draft_of(sequence.draft_place));
  }
}

}  // namespace

void draft_tokens(EngineState& state, const StepWork& decoding) {
  Speculator& speculator = *state.speculator;
  double tokens = 0.0;
  for (Sequence* sequence : state.step_sequences) {
    if (!sequence->is_decoding()) continue;
    tokens += 1.0;
    const int most = most_drafted(state, *sequence);
    if (most > 0) speculator.draft(task_of(state, *sequence, most));
  }
  const int64_t room = state.options.max_step_rows - state.step_work.rows;
  speculator.choose({.tokens = tokens,
                     .decoding = decoding,
                     .work = state.step_work,
                     .max_seconds = step_budget(state, decoding),
                     .max_rows = std::min<int64_t>(room, state.options.speculation.max_rows)},
                    state.cost);
  for (Sequence* sequence : state.step_sequences) {
    if (sequence->is_decoding()) take_draft(state, *sequence);
  }
}

}  // namespace forerun
