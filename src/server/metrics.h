#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "online/learning.h"
#include "server/engine_thread.h"
#include "server/sliding_percentiles.h"

namespace forerun {

// One finished request's times, in seconds; a negative one is not known (it never got so far).
struct RequestTimes {
  double queued = -1.0;       // from its arrival to its place
  double prefill = -1.0;      // from its place to its first token
  double first_token = -1.0;  // from its arrival
  double decode = -1.0;       // from its first token to its last
  double whole = -1.0;        // from its arrival to its end
};

// What forerun_build_info tells, beside the version.
struct BuildInfo {
  std::string isa;
  std::string fingerprint;
};

// What Prometheus reads, under vLLM's names with `prefix` before them, so that its boards and
// clients read us unchanged: histograms and counts that handlers feed, and the engine's own figures
// read when scraped. What vLLM has no name for begins with forerun_, the process's own figures with
// process_.
class Metrics final {
 public:
  // `prefix` is "vllm" or "forerun".
  Metrics(const std::string& prefix, const std::string& model_name, const BuildInfo& build = {});
  ~Metrics();

  // Any thread. `finished_reason` is "stop", "length", "abort" or "error".
  void count_finished(const std::string& finished_reason, const RequestTimes& times,
                      int64_t prompt_tokens, int64_t generation_tokens);
  void observe_inter_token_latency(double seconds);
  // `route` is the pattern that answered, empty where none did.
  void count_http(const std::string& method, const std::string& route, int status);

  int64_t requests_finished() const;

  // From now on what is scraped has the figures of a loop that learns; outlives this. Before
  // serving.
  void add_learning(const Learning& learning);

  // The text format, 0.0.4. What counts up never goes down, whatever the snapshot says.
  std::string scrape(const EngineThread::Snapshot& snapshot) const;

  // Of the last minute: what the status page and the periodic line show.
  Percentiles first_token_percentiles() const;
  Percentiles inter_token_percentiles() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forerun
