#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "online/learning.h"
#include "server/engine_thread.h"
#include "server/metrics.h"

namespace forerun {

enum class ServerState : uint8_t {
  kReady,
  kDraining,  // takes no more requests
  kStuck,     // work is queued and no step ends
};
std::string_view server_state_name(ServerState state);  // "ready"

// What happened between two moments, per second of it.
struct ServerRates {
  double seconds = 0.0;
  double prompt_tokens = 0.0;  // cached ones included
  double generation_tokens = 0.0;
  double requests = 0.0;              // finished
  std::optional<double> prefix_hits;  // of the prompt tokens looked for; none: none were
};

// What the server did of late, out of one look at its counters a second: for the status page and
// the periodic line. Lives on the I/O thread.
class ServerStatistics final {
 public:
  // Borrows the metrics.
  explicit ServerStatistics(const Metrics& metrics) : metrics_(metrics) {}

  // From now on a loop that learns is told of, too; outlives this.
  void add_learning(const Learning& learning) { learning_ = &learning; }

  // To be called once a second. `now` in seconds.
  void sample(const EngineThread::Snapshot& snapshot, ServerState state, double now);

  // Over about the last `seconds`, as far as samples go back.
  ServerRates rates(double seconds) const;

  // A line for people about the time since it was asked for last; none when nothing happened:
  //   "120.0 tok/s prompt, 345.6 tok/s generated, 3 running, 1 waiting, KV 12 %, prefix hits 80 %,
  //    first token 45 ms (p99 120 ms), between tokens 9.1 ms (p99 14 ms), head 3, replayed 1.74
  //    tokens a round, starved: nobody"
  std::optional<std::string> next_line();

  // The part of GET /forerun/statistics that changes (docs/monitoring.md has the whole).
  Json json() const;

 private:
  struct Sample {
    double time = 0.0;
    ServerState state = ServerState::kReady;
    int64_t running = 0;
    int64_t waiting = 0;
    double kv_use = 0.0;
    // Counted since the start.
    int64_t prompt_tokens = 0;
    int64_t generation_tokens = 0;
    int64_t requests = 0;
    int64_t prefix_queries = 0;
    int64_t prefix_hits = 0;
    int64_t preemptions = 0;
  };
  static ServerRates between(const Sample& from, const Sample& to);
  Json history() const;

  const Metrics& metrics_;
  const Learning* learning_ = nullptr;  // null: nothing learns
  std::deque<Sample> samples_;          // five minutes of them, the newest last
  std::optional<Sample> line_since_;
  double started_ = 0.0;
  double state_since_ = 0.0;
};

}  // namespace forerun
