#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "online/trace_file.h"
#include "online/trace_ring.h"

namespace forerun {

// Writes what comes through a ring to files, on a thread of its own that runs when nothing else
// wants the processor.
class TraceSpill final {
 public:
  // Borrows the ring, whose reader it is.
  TraceSpill(TraceRing& ring, TraceFileWriter writer);
  // Ends when the ring is empty.
  ~TraceSpill();

  int64_t written() const { return written_; }  // records
  int64_t failed() const { return failed_; }    // that could not be written; the log says why

 private:
  void run();
  bool write_front();

  TraceRing& ring_;
  TraceFileWriter writer_;
  std::atomic<int64_t> written_{0};
  std::atomic<int64_t> failed_{0};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace forerun
