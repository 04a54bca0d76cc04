#include <utility>

#include "base/clock.h"
#include "engine/state.h"

namespace forerun {

void swap_head(EngineState& state) {
  std::unique_ptr<ReadyHead> next = state.head_slot.take();
  if (next == nullptr) return;
  const double begin = now_seconds();
  std::unique_ptr<ReadyHead> before = std::move(state.head);
  before->drafter = state.speculator->swap_model(std::move(next->drafter));
  state.head = std::move(next);
  state.head_slot.retire(std::move(before));
  state.stats.head_version = state.head->version;
  ++state.stats.head_swaps;
  state.stats.head_swap_seconds = now_seconds() - begin;
}

}  // namespace forerun
