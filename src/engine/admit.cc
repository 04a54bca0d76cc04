#include <algorithm>

#include "engine/state.h"

namespace forerun {
namespace {

int64_t pages_for(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

// Pages the sequence would take now, and one for every running sequence so that admitting it does
// not preempt another at once.
bool has_room(const EngineState& state, const Sequence& sequence) {
  const int64_t wanted = pages_for(sequence.num_tokens() + 1);
  const auto others = static_cast<int64_t>(state.running.size());
  return wanted + others <= state.cache.free_pages() ||
         (state.running.empty() && wanted <= state.cache.free_pages());
}

// Takes what the prefix cache has and reserves room for the rest.
bool start(EngineState& state, Sequence& sequence) {
  ActiveRequest& request = *sequence.request;
  sequence.kv.key = {state.model.weights().fingerprint, request.request.salt};
  int64_t found = 0;
  if (request.request.use_prefix_cache) {
    found = state.cache.match_prefix(sequence.tokens, sequence.kv);
  }
  if (!state.cache.reserve(sequence.kv, sequence.num_tokens())) {
    state.cache.release(sequence.kv);
    return false;
  }
  if (sequence.output_tokens() == 0 && sequence.choice == 0) request.cached_tokens = found;
  return true;
}

}  // namespace

void admit(EngineState& state) {
  while (!state.waiting.empty() &&
         static_cast<int>(state.running.size()) < state.options.max_sequences) {
    // Choices to be forked take a place only when choice 0 has computed the prompt (emit.cc).
    const auto next = std::find_if(state.waiting.begin(), state.waiting.end(),
                                   [](const Sequence* s) { return !s->waits_for_fork; });
    if (next == state.waiting.end()) return;
    Sequence& sequence = **next;
    if (!has_room(state, sequence) || !start(state, sequence)) return;
    state.waiting.erase(next);
    state.running.push_back(&sequence);
  }
}

}  // namespace forerun
