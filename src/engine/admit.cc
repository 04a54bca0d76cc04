#include <algorithm>

#include "base/check.h"
#include "engine/state.h"

namespace forerun {
namespace {

// Whether there are pages for all the sequence's tokens and one more, and a page besides for every
// running sequence, so that admitting it does not preempt another at once. Pages of its beginning
// that others hold cost nothing.
bool has_room(const EngineState& state, const Sequence& sequence) {
  int64_t wanted = pages_for(std::min(sequence.num_tokens() + 1, state.sequence_limit));
  if (sequence.may_reuse_prefix()) {
    wanted -= state.cache.held_prefix_pages(sequence.known(), sequence.kv.key);
  }
  return wanted + static_cast<int64_t>(state.running.size()) <= state.cache.free_pages();
}

// Takes what the prefix cache has and reserves room for the rest.
void start(EngineState& state, Sequence& sequence) {
  ActiveRequest& request = *sequence.request;
  make_lists(state, sequence);
  int64_t found = 0;
  if (sequence.may_reuse_prefix()) {
    found = state.cache.match_prefix(sequence.tokens, sequence.kv);
  }
  CHECK(state.cache.reserve(sequence.kv, sequence.num_tokens()), "has_room counted the pages");
  if (!request.cached_tokens) request.cached_tokens = found;
}

void call_start(const ActiveRequest& request) {
  if (!request.request.on_start) return;
  request.request.on_start(
      {request.id, request.prompt_tokens(), request.cached_tokens.value_or(0)});
}

// Rejected rows that are kept of the sequence; 0: none.
int64_t most_rejected(const EngineState& state, const Sequence& sequence) {
  const EngineOptions& options = state.options;
  const bool is_learnt_from = sequence.request->request.conversation.has_value();
  const bool keeps = state.speculator && options.keep_finals && options.max_rejected_rows > 0;
  if (!keeps || !is_learnt_from) return 0;
  const int64_t drafted = kMaxDraft * std::max<int64_t>(sequence.request->max_tokens, 1);
  return std::clamp<int64_t>(options.max_rejected_rows, kMaxDraft, drafted);
}

}  // namespace

void make_lists(EngineState& state, Sequence& sequence) {
  if (!sequence.tokens.empty()) return;
  const ActiveRequest& request = *sequence.request;
  const int64_t most_tokens = request.most_tokens();
  sequence.tokens.reserve(most_tokens);
  sequence.tokens = request.request.prompt;
  // A tree has more tokens than may come.
  sequence.kv.pages.reserve(pages_for(most_tokens + (state.speculator ? kMaxDraft : 0)));
  if (request.request.sampling.has_penalties()) {
    sequence.penalties.emplace(static_cast<int>(state.model.descriptor().vocab_size),
                               static_cast<int>(most_tokens));
    sequence.penalties->reset(request.request.prompt);
  }
  if (!request.request.stop_strings.empty()) {
    sequence.stops.emplace(request.request.stop_strings);
  }
  if (state.speculator) {
    sequence.path.reserve(kMaxDraft);
    DraftRequest draft;
    draft.id = request.id;
    draft.choice = sequence.choice;
    draft.prompt = request.request.prompt;
    draft.prediction = request.request.prediction;
    draft.shared_scope = request.request.history_salt;
    draft.prefix_key = sequence.kv.key;
    draft.max_tokens = most_tokens;
    sequence.draft_place = state.speculator->begin(draft);
    if (const int64_t rows = most_rejected(state, sequence); rows > 0) {
      sequence.rejected = std::make_unique<RejectedRows>(rows, state.model.descriptor().d_model);
    }
  }
  if (request.request.grammar) {
    sequence.grammar = std::make_shared<GrammarProgress>(
        request.request.grammar, state.model.descriptor().vocab_size, state.options.eos_ids);
  }
}

void admit(EngineState& state) {
  while (static_cast<int>(state.running.size()) < state.options.max_sequences) {
    // Choices to be forked take a place only when choice 0 has computed the prompt.
    const auto next = std::find_if(state.waiting.begin(), state.waiting.end(),
                                   [](const Sequence* s) { return !s->waits_for_fork; });
    // First come, first served: what does not fit keeps those behind it waiting, or a long prompt
    // would never find enough free.
    if (next == state.waiting.end() || !has_room(state, **next)) return;
    Sequence& sequence = **next;
    const bool first_place = !sequence.request->cached_tokens;
    start(state, sequence);
    state.running.push_back(&sequence);
    state.waiting.erase(next);
    // May add to the queue.
    if (first_place) call_start(*sequence.request);
  }
}

}  // namespace forerun
