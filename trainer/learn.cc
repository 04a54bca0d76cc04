#include "learn.h"

#include <malloc.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <optional>

#include "base/clock.h"
#include "command_lines.h"
#include "online/trace_ring.h"
#include "threads.h"

namespace forerun {
namespace {

constexpr int kLongestWaitMs = 50;
constexpr int kMostTaken = 64;  // records in one go, so that commands are heard

volatile std::sig_atomic_t is_asked_to_end = 0;

// Whatever the parent did with its signals. One whose reader is gone writes in vain and ends with
// its commands.
void heed_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t heeded;
  sigemptyset(&heeded);
  struct sigaction action = {};
  action.sa_handler = [](int) { is_asked_to_end = 1; };
  for (const int signal : {SIGTERM, SIGINT}) {
    sigaddset(&heeded, signal);
    sigaction(signal, &action, nullptr);
  }
  pthread_sigmask(SIG_UNBLOCK, &heeded, nullptr);
}

void tell(const Json& event) {
  // Paths may be in no encoding.
  const std::string line = event.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void take_records(TraceRing& ring, LiveTraining& training) {
  for (int i = 0; i < kMostTaken; ++i) {
    const std::span<const uint8_t> record = ring.front();
    if (record.empty()) return;
    training.take(record);
    ring.pop();
  }
}

// The library keeps a step's memory for the next one (main.cc); while there is none for long, the
// system has it.
class IdleMemory {
 public:
  void note_busy() { seconds_ = 0.0; }
  void note_idle(double seconds) {
    const bool was_long = seconds_ >= kLong;
    seconds_ += seconds;
    if (!was_long && seconds_ >= kLong) malloc_trim(0);
  }

 private:
  static constexpr double kLong = 10.0;
  double seconds_ = 0.0;
};

Status run(TraceRing& ring, LiveTraining& training) {
  CommandLines commands(STDIN_FILENO);
  IdleMemory memory;
  while (is_asked_to_end == 0 && !training.is_stopped() && !commands.has_ended()) {
    take_records(ring, training);
    const bool is_busy = training.advance();
    const double begin = now_seconds();
    commands.wait(is_busy ? 0 : kLongestWaitMs);
    const double waited = now_seconds() - begin;
    if (is_busy) {
      memory.note_busy();
    } else {
      training.add_idle(waited);
      memory.note_idle(waited);
    }
    while (const std::optional<std::string> line = commands.next()) training.obey(*line);
  }
  return training.finish();
}

Status begin_and_run(const LearnOptions& options) {
  const Result<LearningTarget> target = read_target(options.target);
  if (!target.ok()) return target.error();
  Result<TraceRing> ring = TraceRing::attach(options.ring);
  if (!ring.ok()) return ring.error();
  Result<LiveTraining> training = LiveTraining::begin(options.live, *target, tell, now_seconds);
  if (!training.ok()) return training.error();
  return run(*ring, *training);
}

}  // namespace

Status learn(const LearnOptions& options) {
  heed_signals();
  give_way(options.is_idle);
  Status status = begin_and_run(options);
  if (!status.ok()) tell({{"event", "error"}, {"error", status.error().message}});
  return status;
}

}  // namespace forerun
