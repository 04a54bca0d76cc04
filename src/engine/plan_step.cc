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

// The prompt tokens [begin, end) whose logits the sequence's next `num_rows` rows give, of those
// that are wanted, by the position of the row.
Range prompt_logit_positions(const Sequence& sequence, int64_t num_rows) {
  const int64_t first = sequence.kv.num_tokens;
  const int64_t begin = std::max(first, sequence.next_prompt_logprob - 1);
  const int64_t end = std::min(first + num_rows, sequence.prompt_tokens() - 1);
  return {begin, std::max(begin, end)};
}

// Uncomputed tokens up to where their prompt logits fill the step.
int64_t rows_before_logits_are_full(const EngineState& state, const Sequence& sequence) {
  const int64_t left = kMaxPromptLogits - state.step_prompt_logits;
  const int64_t end = sequence.next_prompt_logprob - 1 + left;
  if (end >= sequence.prompt_tokens() - 1) return sequence.uncomputed();
  return end - sequence.kv.num_tokens;
}

// Takes the sequence's next `num_rows` known tokens into the step.
void take(EngineState& state, Sequence& sequence, int64_t num_rows) {
  const Range wanted = prompt_logit_positions(sequence, num_rows);
  sequence.step_rows = static_cast<int>(num_rows);
  sequence.num_drafted = 0;
  sequence.num_prompt_logits = static_cast<int>(wanted.end - wanted.begin);
  state.step_prompt_logits += sequence.num_prompt_logits;
  state.step_work.add_sequence(num_rows, sequence.kv.num_tokens);
  state.step_sequences.push_back(&sequence);
}

void plan_decodes(EngineState& state) {
  // Preemption takes from the end, so indices before it stay.
  for (size_t i = 0; i < state.running.size(); ++i) {
    Sequence& sequence = *state.running[i];
    if (sequence.is_decoding() && !make_room(state, sequence)) break;
  }
  for (Sequence* sequence : state.running) {
    if (sequence->is_decoding()) take(state, *sequence, 1);
  }
}

void plan_prefills(EngineState& state) {
  const bool decodes = state.step_work.rows > 0;
  const double budget = decodes ? step_budget(state, state.step_work) : 0.0;
  bool moved_one = false;
  for (Sequence* sequence : state.running) {
    if (sequence->is_decoding()) continue;
    int64_t room = state.options.max_step_rows - state.step_work.rows;
    if (decodes) {
      const int64_t within =
          state.cost.rows_within(budget, state.step_work, sequence->kv.num_tokens);
      // One prompt moves on whatever the budget, by a row at least.
      room = std::min(room, moved_one ? within : std::max<int64_t>(within, 1));
    }
    if (room <= 0) return;
    room = std::min(room, rows_before_logits_are_full(state, *sequence));
    if (room == 0) continue;
    take(state, *sequence, std::min(room, sequence->uncomputed()));
    moved_one = true;
  }
}

// Which of its rows each row follows, where what is drafted is a tree; else null.
const int32_t* lay_out_parents(EngineState& state, const Sequence& sequence) {
  if (sequence.num_drafted == 0) return nullptr;
  const std::span<const int32_t> parents = state.speculator->parents_of(sequence.draft_place);
  if (parents.empty()) return nullptr;
  const int32_t* begin = state.step_parents.data() + state.step_parents.size();
  // The token sampled last, which has no key yet either, then the draft.
  state.step_parents.push_back(-1);
  for (const int32_t parent : parents) state.step_parents.push_back(parent + 1);
  return begin;
}

// Lays a sequence's rows out for the decoder.
void lay_out(EngineState& state, Sequence& sequence) {
  const int64_t first = sequence.kv.num_tokens;
  const auto first_row = static_cast<int32_t>(state.step_tokens.size());
  const int32_t last_known = first_row + sequence.step_rows - 1;
  state.step_groups.push_back({sequence.step_rows + sequence.num_drafted, first, sequence.kv.pages,
                               lay_out_parents(state, sequence)});
  sequence.prompt_logit_row = static_cast<int>(state.step_logit_rows.size());
  const Range wanted = prompt_logit_positions(sequence, sequence.step_rows);
  for (int64_t position = wanted.begin; position < wanted.end; ++position) {
    state.step_logit_rows.push_back(first_row + static_cast<int32_t>(position - first));
  }
  const auto known = sequence.tokens.begin() + first;
  state.step_tokens.insert(state.step_tokens.end(), known, known + sequence.step_rows);
  sequence.logit_row = -1;
  if (sequence.step_rows < sequence.uncomputed() || sequence.request->request.prompt_only) return;
  sequence.logit_row = static_cast<int>(state.step_logit_rows.size());
  for (int i = 0; i <= sequence.num_drafted; ++i) {
    state.step_logit_rows.push_back(last_known + i);
  }
  if (sequence.num_drafted == 0) return;
  const std::span<const int32_t> draft = state.speculator->draft_of(sequence.draft_place);
  state.step_tokens.insert(state.step_tokens.end(), draft.begin(), draft.end());
}

}  // namespace

double step_budget(const EngineState& state, const StepWork& decoding) {
  if (state.options.max_step_ms > 0.0) return state.options.max_step_ms / 1e3;
  return 4.0 * state.cost.predict(decoding);
}

void plan_step(EngineState& state) {
  state.step_tokens.clear();
  state.step_groups.clear();
  state.step_logit_rows.clear();
  state.step_parents.clear();
  state.step_sequences.clear();
  state.step_prompt_logits = 0;
  state.step_work = {};
  plan_decodes(state);
  const StepWork decoding = state.step_work;
  plan_prefills(state);
  if (state.speculator) draft_tokens(state, decoding);
  for (Sequence* sequence : state.step_sequences) lay_out(state, *sequence);
}

}  // namespace forerun
