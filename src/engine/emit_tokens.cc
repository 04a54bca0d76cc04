#include <algorithm>

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

void finish_with_error(EngineState& state, Sequence& sequence, const Error& error) {
  FinishEvent event;
  event.reason = FinishReason::kError;
  event.error = error.message;
  finish(state, sequence, event);
}

void emit_prompt_token(EngineState& state, const SampleResult& score) {
  Sequence& sequence = *score.sequence;
  if (sequence.finished) return;
  if (score.error) return finish_with_error(state, sequence, *score.error);
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

void emit(EngineState& state, SampleResult& sample) {
  Sequence& sequence = *sample.sequence;
  if (sequence.finished) return;
  if (sample.error) return finish_with_error(state, sequence, *sample.error);
  if (sample.grammar_ended) return finish(state, sequence, FinishEvent());
  sequence.tokens.push_back(sample.token_id);
  if (sequence.penalties) sequence.penalties->push(sample.token_id);
  ++state.stats.generated_tokens;
  call_token(sequence, sample);
  FinishEvent event;
  if (ends(state, sequence, event)) return finish(state, sequence, event);
  if (sequence.grammar) state.mask_maker->advance(sequence.grammar, sample.token_id);
}

}  // namespace

void emit_tokens(EngineState& state) {
  // Callbacks may add and cancel requests; samples stay as they are.
  for (const SampleResult& score : state.prompt_scores) emit_prompt_token(state, score);
  finish_prompts(state);
  for (SampleResult& sample : state.samples) emit(state, sample);
}

void finish(EngineState& state, Sequence& sequence, FinishEvent event) {
  ActiveRequest& request = *sequence.request;
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
