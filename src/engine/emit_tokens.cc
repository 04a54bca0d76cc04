#include <algorithm>
#include <optional>

#include "base/check.h"
#include "engine/state.h"

namespace forerun {
namespace {

void call_token(const Sequence& sequence, const SampleResult& sample) {
  const ActiveRequest& request = *sequence.request;
  if (!request.request.on_token) return;
  TokenEvent event;
  event.request = request.id;
  event.choice = sequence.choice;
  event.token_id = sample.token_id;
  event.logprob = sample.logprob;
  event.top = {sample.top.data(), static_cast<size_t>(sample.num_top)};
  request.request.on_token(event);
}

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Whether the sequence ends with its newest token, and why.
bool ends(EngineState& state, Sequence& sequence, FinishEvent& event) {
  const ActiveRequest& request = *sequence.request;
  const int32_t token = sequence.tokens.back();
  // What a grammar holds has no room behind its end.
  const bool goes_on = request.request.ignore_eos && sequence.grammar == nullptr;
  const bool is_eos = !goes_on && contains(state.options.eos_ids, token);
  if (is_eos || contains(request.request.stop_ids, token)) {
    event.stop_id = token;
    return true;
  }
  if (sequence.stops) {
    if (const auto match = sequence.stops->push(state.options.token_bytes[token])) {
      event.stop_string = match->stop_string;
      event.text_bytes = match->begin_bytes;
      return true;
    }
  }
  event.reason = FinishReason::kLength;
  return sequence.output_tokens() >= request.max_tokens ||
         sequence.num_tokens() >= state.sequence_limit;
}

FinishEvent error_event(const Error& error) {
  FinishEvent event;
  event.reason = FinishReason::kError;
  event.error = error.message;
  return event;
}

void emit_prompt_token(EngineState& state, const SampleResult& score) {
  Sequence& sequence = *score.sequence;
  if (sequence.finished) return;
  if (score.error) return finish(state, sequence, error_event(*score.error));
  PromptTokenEvent event;
  event.request = sequence.request->id;
  event.position = sequence.next_prompt_logprob++;
  event.token_id = score.token_id;
  event.logprob = *score.logprob;
  event.top = {score.top.data(), static_cast<size_t>(score.num_top)};
  const auto& on_prompt_token = sequence.request->request.on_prompt_token;
  if (on_prompt_token) on_prompt_token(event);
}

// Ends what wants no more than its prompt.
void finish_prompts(EngineState& state) {
  for (Sequence* sequence : state.step_sequences) {
    const bool done = sequence->request->request.prompt_only && sequence->uncomputed() == 0;
    if (!done || sequence->finished) continue;
    FinishEvent event;
    event.reason = FinishReason::kLength;
    finish(state, *sequence, event);
  }
}

// Appends one token and calls back.
void append(EngineState& state, Sequence& sequence, const SampleResult& sample) {
  sequence.tokens.push_back(sample.token_id);
  if (sequence.penalties) sequence.penalties->push(sample.token_id);
  ++state.stats.generated_tokens;
  call_token(sequence, sample);
}

// Appends what was sampled up to the output's end, if it comes; then it says how.
std::optional<FinishEvent> append_all(EngineState& state, Sequence& sequence) {
  for (int i = 0; i < sequence.num_samples; ++i) {
    const SampleResult& sample = state.samples[sequence.first_sample + i];
    if (sample.error) return error_event(*sample.error);
    FinishEvent event;
    if (sample.grammar_ended) return event;
    append(state, sequence, sample);
    if (ends(state, sequence, event)) return event;
  }
  return std::nullopt;
}

// What was drafted and output is computed; what was drafted in vain gives its pages back.
void settle_draft(EngineState& state, Sequence& sequence, std::span<const int32_t> output) {
  // Before the draft is forgotten, and its slots are given back.
  keep_rejected(state, sequence, output);
  if (sequence.draft_place >= 0) state.speculator->learn(sequence.draft_place, output);
  if (sequence.num_drafted == 0) return;
  const int64_t computed = sequence.num_tokens() - 1;
  const int64_t base = sequence.kv.num_tokens;
  if (computed > base) {
    // Of a draft's branches only one stays.
    sequence.path.resize(static_cast<size_t>(computed - base));
    for (int64_t& slot : sequence.path) slot += base;
    state.cache.compact(sequence.kv, base, sequence.path);
    commit(state, sequence, computed);
  }
  CHECK(state.cache.rollback(sequence.kv, sequence.kv.num_tokens), "giving pages back takes none");
}

void emit(EngineState& state, Sequence& sequence) {
  if (sequence.finished) return;
  const int64_t before = sequence.num_tokens();
  const std::optional<FinishEvent> end = append_all(state, sequence);
  const std::span<const int32_t> output = std::span(sequence.tokens).subspan(before);
  settle_draft(state, sequence, output);
  if (end) return finish(state, sequence, *end);
  if (sequence.grammar) state.mask_maker->advance(sequence.grammar, output);
}

}  // namespace

void emit_tokens(EngineState& state) {
  // Callbacks may add and cancel requests; samples stay as they are.
  for (const SampleResult& score : state.prompt_scores) emit_prompt_token(state, score);
  finish_prompts(state);
  for (Sequence* sequence : state.sampling) emit(state, *sequence);
}

namespace {

void tell_end(EngineState& state, const Sequence& sequence, FinishReason reason) {
  if (!state.options.on_sequence_end) return;
  const ActiveRequest& request = *sequence.request;
  SequenceEnd end{.request = request.request};
  end.seed = request.seed;
  end.choice = sequence.choice;
  end.reason = reason;
  end.tokens = sequence.known();
  end.step_seconds = state.stats.step_seconds;
  KvPool& pool = state.cache.pool();
  if (state.options.keep_states) {
    end.num_states = sequence.kv.num_tokens;
    end.states = {&pool, kStatesArray, sequence.kv.pages};
  }
  if (sequence.draft_place >= 0) {
    end.head = state.stats.head_version;
    end.first_drafts = state.speculator->first_drafts(sequence.draft_place);
  }
  if (state.options.keep_finals) end.finals = {&pool, kFinalsArray, sequence.kv.pages};
  end.rejected = sequence.rejected.get();
  state.options.on_sequence_end(end);
}

}  // namespace

void finish(EngineState& state, Sequence& sequence, FinishEvent event) {
  ActiveRequest& request = *sequence.request;
  tell_end(state, sequence, event.reason);
  sequence.finished = true;
  state.cache.release(sequence.kv);
  std::erase(state.running, &sequence);
  std::erase(state.waiting, &sequence);
  --request.unfinished;
  event.request = request.id;
  event.choice = sequence.choice;
  event.prompt_tokens = sequence.prompt_tokens();
  event.cached_tokens = request.cached_tokens.value_or(0);
  event.completion_tokens = sequence.output_tokens();
  event.seed = request.seed;
  if (sequence.draft_place >= 0) {
    event.drafts = state.speculator->counts(sequence.draft_place);
    state.speculator->end(sequence.draft_place);
  }
  if (request.request.on_finish) request.request.on_finish(event);
}

void sweep(EngineState& state) {
  const auto finished = [](const std::unique_ptr<Sequence>& s) { return s->finished; };
  if (std::erase_if(state.sequences, finished) == 0) return;
  std::erase_if(state.requests, [](const auto& entry) { return entry.second->unfinished == 0; });
}

void cancel_requests(EngineState& state) {
  // Callbacks may cancel and add: both lists may grow while they are walked.
  for (size_t i = 0; i < state.cancelled.size(); ++i) {
    const RequestId id = state.cancelled[i];
    for (size_t s = 0; s < state.sequences.size(); ++s) {
      Sequence& sequence = *state.sequences[s];
      if (sequence.request->id != id || sequence.finished) continue;
      FinishEvent event;
      event.reason = FinishReason::kCancelled;
      finish(state, sequence, event);
    }
  }
  state.cancelled.clear();
}

}  // namespace forerun
