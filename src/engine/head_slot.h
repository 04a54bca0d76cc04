#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "models/eagle3_head.h"
#include "spec/model_drafter.h"

namespace forerun {

// A head with all that its drafting takes, beside the one that drafts (Engine::make_ready).
struct ReadyHead {
  int64_t version = 0;
  std::shared_ptr<const Eagle3Head> head;  // null: from now on, none drafts
  std::unique_ptr<ModelDrafter> drafter;
  ReadyHead* next = nullptr;  // in a list of those that have drafted
};

// Where heads come into an engine and leave it. Nobody waits: what is offered is taken between two
// steps, by exchanging pointers, and what it replaces lies ready to be destroyed by whoever offers.
class HeadSlot final {
 public:
  HeadSlot() = default;
  HeadSlot(const HeadSlot&) = delete;
  HeadSlot& operator=(const HeadSlot&) = delete;
  ~HeadSlot();

  // --- any one thread's
  // What was offered before and not taken is destroyed.
  void offer(std::unique_ptr<ReadyHead> head);
  // Destroys what was replaced so far.
  void collect();

  // --- the engine's
  // The head offered last, once.
  std::unique_ptr<ReadyHead> take();
  // What was replaced.
  void retire(std::unique_ptr<ReadyHead> head);

 private:
  std::atomic<ReadyHead*> offered_{nullptr};
  std::atomic<ReadyHead*> retired_{nullptr};
};

}  // namespace forerun
