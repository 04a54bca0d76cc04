#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/engine_thread.h"

namespace forerun {

// One finished request's times, in seconds; a negative one is not known (it never got so far).
struct RequestTimes {
  double queued = -1.0;       // from its arrival to its place
  double prefill = -1.0;      // from its place to its first token
  double first_token = -1.0;  // from its arrival
  double decode = -1.0;       // from its first token to its last
  double whole = -1.0;        // from its arrival to its end
};

// What Prometheus reads, under vLLM's names (interfaces.md lists them) with `prefix` before them:
// histograms and counts that handlers feed, and the engine's own figures read when scraped.
class Metrics final {
 public:
  explicit Metrics(const std::string& prefix, const std::string& model_name);
  ~Metrics();

  // Any thread.
  void count_finished(const std::string& finished_reason, const RequestTimes& times,
                      int64_t prompt_tokens, int64_t generation_tokens);
  void observe_inter_token_latency(double seconds);
  void count_http(const std::string& method, const std::string& route, int status);

  // The text format, 0.0.4.
  std::string scrape(const EngineThread::Snapshot& snapshot) const;

  // Of the last `window` of a minute: what the status page and the periodic line show.
  struct Percentiles {
    double p50 = 0.0;
    double p90 = 0.0;
    double p99 = 0.0;
    int64_t count = 0;
  };
  Percentiles first_token_percentiles() const;
  Percentiles inter_token_percentiles() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forerun
