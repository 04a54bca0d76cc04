#pragma once

#include <cstdint>
#include <optional>
#include <span>

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
