#include "online/trace_spill.h"

#include <pthread.h>
#include <sys/resource.h>

#include <chrono>
#include <utility>

#include "base/log.h"

namespace forerun {
namespace {

constexpr auto kPause = std::chrono::milliseconds(50);
constexpr int kLowestPriority = 19;

}  // namespace

TraceSpill::TraceSpill(TraceRing& ring, TraceFileWriter writer)
    : ring_(ring), writer_(std::move(writer)), thread_([this] { run(); }) {}

TraceSpill::~TraceSpill() {
  ending_ = true;
  thread_.join();
}

void TraceSpill::run() {
  pthread_setname_np(pthread_self(), "forerun-traces");
  // On Linux of this thread alone; where it is refused, it writes at the usual one.
  setpriority(PRIO_PROCESS, 0, kLowestPriority);
  while (true) {
    const bool ends = ending_;  // looked at before the ring: what came until then is written
    while (write_front()) {
    }
    if (ends) return;
    std::this_thread::sleep_for(kPause);
  }
}

bool TraceSpill::write_front() {
  const std::span<const uint8_t> record = ring_.front();
  if (record.empty()) return false;
  const Status status = writer_.write(record);
  ring_.pop();
  if (status.ok()) {
    ++written_;
  } else if (failed_++ == 0) {
    log(LogLevel::kWarning, "a trace was not written", {{"error", status.error().message}});
  }
  return true;
}

}  // namespace forerun
