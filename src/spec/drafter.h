#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "cache/kv_pool.h"
#include "cache/prefix_index.h"
#include "sampling/noise.h"
#include "sampling/params.h"
#include "sampling/penalty_state.h"
#include "spec/draft.h"
#include "spec/history_index.h"

namespace forerun {

// What a drafter may know of a request; read during begin().
struct DraftRequest {
  uint64_t id = 0;  // of the request
  int choice = 0;   // of it, the first one begun first
  std::span<const int32_t> prompt;
  // What the output is expected to be like.
  std::span<const int32_t> prediction;
  // Whose outputs may help this one, and be helped by it; none: nobody's.
  std::optional<HistoryScope> shared_scope;
  uint32_t epoch = 0;        // of this output in its scope
  uint32_t first_epoch = 0;  // outputs of earlier ones do not help
  PrefixKey prefix_key;      // whose computed prompts may serve it
  int64_t max_tokens = 0;    // prompt and output together
};

// The states that the target has kept of a sequence's positions: bf16 [kNumTaps · d_model].
struct KeptStates {
  KvPool* pool = nullptr;
  int array = 0;
  std::span<const int32_t> pages;  // of the sequence

  const uint16_t* at(int64_t position) const {
    return reinterpret_cast<const uint16_t*>(pool->side(pages, array, position));
  }
};

// A sequence that is to be drafted for, as it stands in one step.
struct DraftTask {
  int place = 0;
  std::span<const int32_t> tokens;  // all of them; the last one's keys are not computed yet
  int max_tokens = 0;               // of the draft
  bool chain_only = false;          // no second choices
  // How the token behind them will be chosen; penalties come back as they were.
  const SamplingParams* sampling = nullptr;
  PenaltyState* penalties = nullptr;
  NoiseKey noise = {};
  KeptStates states = {};  // where the engine keeps them, of all tokens but the last
};

// Something that proposes what comes next in sequences. Each has a place, a small number that is
// given again once it has ended. One thread calls everything.
class Drafter {
 public:
  Drafter() = default;
  Drafter(const Drafter&) = delete;
  Drafter& operator=(const Drafter&) = delete;
  virtual ~Drafter() = default;

  // May allocate; nothing else does.
  virtual void begin(int place, const DraftRequest& request) = 0;
  // `tokens` came next in the output.
  virtual void observe(int place, std::span<const int32_t> tokens) = 0;
  // Drafts at most `max_tokens` that may follow `context`, the last kDraftContext tokens of prompt
  // and output (all of them where there are less) and `num_drafted` more that are drafted already.
  // `draft` comes empty, with room.
  virtual void propose(int place, std::span<const int32_t> context, int num_drafted, int max_tokens,
                       Draft& draft) = 0;
  virtual void end(int place) = 0;
};

constexpr int kDraftContext = 64;

}  // namespace forerun
