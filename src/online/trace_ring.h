#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"

namespace forerun {

// A bounded queue of blocks of bytes between two processes: one thread writes, one reads, and
// neither ever waits for the other. What finds no room is dropped and counted. It lives in shared
// memory that has no name but its file descriptor, which the reader inherits. A reader that dies
// at any instant leaves it whole: the next one goes on with the oldest block not yet popped.
class TraceRing final {
 public:
  // Room for `bytes` (a power of two, 64 KiB at least). An Error says what the system refused.
  static Result<TraceRing> create(int64_t bytes);
  // The other end, by a descriptor of the writer's; it is duplicated. An Error says why the memory
  // is not that of a ring.
  static Result<TraceRing> attach(int descriptor);

  TraceRing(TraceRing&& other) noexcept;
  TraceRing& operator=(TraceRing&& other) = delete;
  ~TraceRing();

  int descriptor() const { return descriptor_; }
  int64_t capacity() const { return capacity_; }

  // --- the writer's
  // Room for one block, aligned to 64 bytes; none: it was dropped. Nobody sees it before publish().
  std::optional<std::span<uint8_t>> reserve(int64_t bytes);
  void publish();

  // --- the reader's
  // The oldest block, until pop(); empty when there is none.
  std::span<const uint8_t> front();
  void pop();

  // --- anybody's
  struct Counts {
    uint64_t published = 0;  // blocks
    uint64_t dropped = 0;    // blocks that found no room
    uint64_t bytes = 0;      // lying there
  };
  Counts counts() const;

 private:
  struct Shared;
  TraceRing(int descriptor, Shared* shared, int64_t capacity);
  static Result<TraceRing> map(int descriptor, int64_t file_bytes);
  uint8_t* at(uint64_t place) const;

  int descriptor_ = -1;
  Shared* shared_ = nullptr;
  int64_t capacity_ = 0;
  uint64_t reserved_end_ = 0;  // where the block being written ends
};

}  // namespace forerun
