#include "engine/head_slot.h"

namespace forerun {

HeadSlot::~HeadSlot() {
  collect();
  delete offered_.load();
}

void HeadSlot::offer(std::unique_ptr<ReadyHead> head) {
  collect();
  delete offered_.exchange(head.release(), std::memory_order_acq_rel);
}

void HeadSlot::collect() {
  ReadyHead* list = retired_.exchange(nullptr, std::memory_order_acquire);
  while (list != nullptr) {
    const std::unique_ptr<ReadyHead> head(list);
    list = head->next;
  }
}

std::unique_ptr<ReadyHead> HeadSlot::take() {
  // Every step asks; an exchange would take the cache line each time.
  if (offered_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  return std::unique_ptr<ReadyHead>(offered_.exchange(nullptr, std::memory_order_acquire));
}

void HeadSlot::retire(std::unique_ptr<ReadyHead> head) {
  ReadyHead* const one = head.release();
  one->next = retired_.load(std::memory_order_relaxed);
  while (!retired_.compare_exchange_weak(one->next, one, std::memory_order_release,
                                         std::memory_order_relaxed)) {
  }
}

}  // namespace forerun
