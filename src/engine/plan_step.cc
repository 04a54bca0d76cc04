#include <algorithm>

#include "engine/state.h"

namespace forerun {
namespace {

void preempt(EngineState& state, Sequence& sequence) {
  state.cache.release(sequence.kv);
  std::erase(state.running, &sequence);
  // To the front: it was there before everything that waits.
  state.waiting.insert(state.waiting.begin(), &sequence);
  ++state.stats.preemptions;
}

// Room for one more token, at the cost of the newest sequences. False when the sequence itself had
// to go.
bool make_room(EngineState& state, Sequence& sequence) {
  while (!state.cache.reserve(sequence.kv, sequence.num_tokens())) {
    Sequence& newest = *state.running.back();
    preempt(state, newest);
    if (&newest == &sequence) return false;
  }
  return true;
}

// Takes the logits of those of the step's next `num_rows` rows whose next prompt token is wanted.
void add_prompt_logits(EngineState& state, Sequence& sequence, int64_t num_rows) {
  const int64_t first = sequence.kv.num_tokens;
  const int64_t begin = std::max(first, sequence.next_prompt_logprob - 1);
  const int64_t end = std::min(first + num_rows, sequence.prompt_tokens() - 1);
  const auto step_row = static_cast<int64_t>(state.step_tokens.size());
  sequence.prompt_logit_row = static_cast<int>(state.step_logit_rows.size());
  sequence.num_prompt_logits = static_cast<int>(std::max<int64_t>(end - begin, 0));
  for (int64_t position = begin; position < end; ++position) {
    state.step_logit_rows.push_back(static_cast<int32_t>(step_row + position - first));
  }
  state.step_prompt_logits += sequence.num_prompt_logits;
}

// Uncomputed tokens up to where their prompt logits fill the step.
int64_t rows_before_logits_are_full(const EngineState& state, const Sequence& sequence) {
  const int64_t left = kMaxPromptLogits - state.step_prompt_logits;
  const int64_t end = sequence.next_prompt_logprob - 1 + left;
  if (end >= sequence.prompt_tokens() - 1) return sequence.uncomputed();
  return end - sequence.kv.num_tokens;
}

void add_rows(EngineState& state, Sequence& sequence, int64_t num_rows) {
  const int64_t first = sequence.kv.num_tokens;
  state.step_groups.push_back(
      {static_cast<int>(num_rows), first, sequence.kv.pages, /*parents=*/nullptr});
  add_prompt_logits(state, sequence, num_rows);
  for (int64_t i = 0; i < num_rows; ++i) state.step_tokens.push_back(sequence.tokens[first + i]);
  sequence.step_rows = static_cast<int>(num_rows);
  sequence.logit_row = -1;
  if (num_rows == sequence.uncomputed() && !sequence.request->request.prompt_only) {
    sequence.logit_row = static_cast<int>(state.step_logit_rows.size());
    state.step_logit_rows.push_back(static_cast<int32_t>(state.step_tokens.size()) - 1);
  }
  state.step_keys += num_rows * first + num_rows * (num_rows + 1) / 2;
  state.step_sequences.push_back(&sequence);
}

void plan_decodes(EngineState& state) {
  // Preemption takes from the end, so indices before it stay.
  for (size_t i = 0; i < state.running.size(); ++i) {
    Sequence& sequence = *state.running[i];
    if (sequence.is_decoding() && !make_room(state, sequence)) break;
  }
  for (Sequence* sequence : state.running) {
    if (sequence->is_decoding()) add_rows(state, *sequence, 1);
  }
}

// What the step may take: the option's time, or four steps of what decodes now.
double step_budget(const EngineState& state) {
  if (state.options.max_step_ms > 0.0) return state.options.max_step_ms / 1e3;
  const auto rows = static_cast<int64_t>(state.step_tokens.size());
  return 4.0 * state.cost.predict(rows, state.step_keys);
}

void plan_prefills(EngineState& state) {
  const bool decodes = !state.step_tokens.empty();
  const double budget = decodes ? step_budget(state) : 0.0;
  bool moved_one = false;
  for (Sequence* sequence : state.running) {
    if (sequence->is_decoding()) continue;
    const auto taken = static_cast<int64_t>(state.step_tokens.size());
    int64_t room = state.options.max_step_rows - taken;
    if (decodes) {
      const int64_t within =
          state.cost.rows_within(budget, taken, state.step_keys, sequence->kv.num_tokens);
      // One prompt moves on whatever the budget, by a row at least.
      room = std::min(room, moved_one ? within : std::max<int64_t>(within, 1));
    }
    if (room <= 0) return;
    room = std::min(room, rows_before_logits_are_full(state, *sequence));
    if (room == 0) continue;
    add_rows(state, *sequence, std::min(room, sequence->uncomputed()));
    moved_one = true;
  }
}

}  // namespace

void plan_step(EngineState& state) {
  state.step_tokens.clear();
  state.step_groups.clear();
  state.step_logit_rows.clear();
  state.step_sequences.clear();
  state.step_prompt_logits = 0;
  state.step_keys = 0;
  plan_decodes(state);
  plan_prefills(state);
}

}  // namespace forerun
