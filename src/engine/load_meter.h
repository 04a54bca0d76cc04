#pragma once

#include <atomic>
#include <cstdint>

#include "engine/engine.h"

namespace forerun {

// Adds up what steps were; one thread adds, any may read. The sums of one reading may be a step
// apart from each other.
class LoadMeter final {
 public:
  void add(const EngineLoad& step) {
    grow(busy_seconds_, step.busy_seconds);
    grow(sequence_seconds_, step.sequence_seconds);
    grow(key_seconds_, step.key_seconds);
    grow(timed_seconds_, step.timed_seconds);
    grow(timed_smaller_seconds_, step.timed_smaller_seconds);
    grow(generated_tokens_, step.generated_tokens);
  }

  EngineLoad read() const {
    constexpr auto kAny = std::memory_order_relaxed;
    return {.busy_seconds = busy_seconds_.load(kAny),
            .sequence_seconds = sequence_seconds_.load(kAny),
            .key_seconds = key_seconds_.load(kAny),
            .timed_seconds = timed_seconds_.load(kAny),
            .timed_smaller_seconds = timed_smaller_seconds_.load(kAny),
            .generated_tokens = generated_tokens_.load(kAny)};
  }

 private:
  // With one writer, cheaper than an addition that nobody may come between.
  template <typename T>
  static void grow(std::atomic<T>& sum, T more) {
    sum.store(sum.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }

  std::atomic<double> busy_seconds_{0.0};
  std::atomic<double> sequence_seconds_{0.0};
  std::atomic<double> key_seconds_{0.0};
  std::atomic<double> timed_seconds_{0.0};
  std::atomic<double> timed_smaller_seconds_{0.0};
  std::atomic<int64_t> generated_tokens_{0};
};

}  // namespace forerun
