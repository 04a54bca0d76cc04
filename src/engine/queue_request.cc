#include <algorithm>

#include "engine/state.h"

namespace forerun {
namespace {

// Room for `count` more, growing by half at least: adding many stays linear.
template <typename T>
void make_room(std::vector<T>& list, size_t count) {
  const size_t needed = list.size() + count;
  if (needed > list.capacity()) list.reserve(std::max(needed, list.capacity() * 3 / 2));
}

}  // namespace

RequestId queue_request(EngineState& state, Request request) {
  auto active = std::make_unique<ActiveRequest>();
  active->id = state.next_id++;
  active->seed = request.sampling.seed ? *request.sampling.seed : draw_seed();
  active->unfinished = request.n;
  active->request = std::move(request);
  const int64_t room = state.sequence_limit - active->prompt_tokens();
  const int64_t wish = active->request.max_tokens;
  active->max_tokens = wish == 0 ? room : std::min(wish, room);
  if (active->request.prompt_only) active->max_tokens = 0;
  // Whatever step() moves between the lists, each has room for all sequences.
  make_room(state.sequences, active->unfinished);
  if (state.waiting.capacity() < state.sequences.capacity()) {
    state.waiting.reserve(state.sequences.capacity());
  }
  for (int choice = 0; choice < active->unfinished; ++choice) {
    auto sequence = std::make_unique<Sequence>();
    sequence->request = active.get();
    sequence->choice = choice;
    sequence->kv.key = {state.model.weights().fingerprint, active->request.salt};
    sequence->waits_for_fork = choice > 0;
    const std::optional<PromptLogprobs>& logprobs = active->request.prompt_logprobs;
    sequence->next_prompt_logprob =
        choice == 0 && logprobs ? logprobs->first : active->prompt_tokens();
    state.waiting.push_back(sequence.get());
    state.sequences.push_back(std::move(sequence));
  }
  if (active->request.grammar && !state.mask_maker) {
    state.mask_maker = std::make_unique<MaskMaker>();
  }
  const RequestId id = active->id;
  state.requests.emplace(id, std::move(active));
  return id;
}

}  // namespace forerun
