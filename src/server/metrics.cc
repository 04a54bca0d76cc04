#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>
#include <mutex>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/version.h"
#include "server/engine_figures.h"
#include "server/learning_figures.h"
#include "server/process_figures.h"

namespace forerun {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

constexpr char kModelName[] = "model_name";
constexpr std::array<const char*, 4> kFinishedReasons = {"stop", "length", "abort", "error"};
// A method is what a client sends; only these get a series of their own.
constexpr std::array<std::string_view, 7> kMethods = {"GET",    "HEAD",  "POST",   "PUT",
                                                      "DELETE", "PATCH", "OPTIONS"};

// vLLM's bounds, in seconds.
const Buckets& first_token_bounds() {
  static const Buckets kBounds = {0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                  0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                  20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
  return kBounds;
}
const Buckets& inter_token_bounds() {
  static const Buckets kBounds = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,  0.4, 0.5,
                                  0.75, 1.0,   2.5,  5.0,   7.5, 10.0, 20.0, 40.0, 80.0};
  return kBounds;
}
const Buckets& request_bounds() {
  static const Buckets kBounds = {0.3,  0.5,   0.8,   1.0,   1.5,   2.0,    2.5,
                                  5.0,  10.0,  15.0,  20.0,  30.0,  40.0,   50.0,
                                  60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
  return kBounds;
}
// 1, 2, 5, 10, … as vLLM's.
const Buckets& token_bounds() {
  static const Buckets kBounds = {1,    2,    5,    10,    20,    50,    100,    200,    500,
                                  1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000};
  return kBounds;
}

// Only what is known.
void observe(prometheus::Histogram& histogram, double seconds) {
  if (seconds >= 0.0) histogram.Observe(seconds);
}

// The last minute's values, for several threads.
class LastMinute final {
 public:
  void observe(double seconds) {
    const double now = now_seconds();
    const std::lock_guard<std::mutex> lock(mutex_);
    values_.observe(seconds, now);
  }
  Percentiles read() const {
    const double now = now_seconds();
    const std::lock_guard<std::mutex> lock(mutex_);
    return values_.read(now);
  }

 private:
  mutable std::mutex mutex_;
  SlidingPercentiles values_;
};

std::string serialize(std::vector<prometheus::MetricFamily> families) {
  std::erase_if(families, [](const auto& family) { return family.metric.empty(); });
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return std::move(text).str();
}

}  // namespace

struct Metrics::State {
  State(std::string before_names, const std::string& model_name, const BuildInfo& build)
      : prefix(std::move(before_names)),
        labels({{kModelName, model_name}}),
        http(prometheus::BuildCounter()
                 .Name("forerun_http_requests_total")
                 .Help("Requests answered, by route and status.")
                 .Register(registry)) {
    for (const char* reason : kFinishedReasons) finished(reason);
    prometheus::BuildGauge()
        .Name("forerun_build_info")
        .Help("Always 1; its labels tell what is running.")
        .Register(registry)
        .Add({{"version", std::string(kVersion)},
              {"isa", build.isa},
              {"fingerprint", build.fingerprint}})
        .Set(1.0);
  }

  prometheus::Histogram& add(const char* name, const char* help, const Buckets& bounds) {
    return prometheus::BuildHistogram()
        .Name(prefix + name)
        .Help(help)
        .Register(registry)
        .Add(labels, bounds);
  }

  prometheus::Counter& finished(const std::string& reason) {
    prometheus::Labels all = labels;
    all["finished_reason"] = reason;
    return success.Add(all);
  }

  prometheus::Registry registry;
  const std::string prefix;
  const prometheus::Labels labels;
  prometheus::Histogram& first_token =
      add("time_to_first_token_seconds", "From a request's arrival to its first token.",
          first_token_bounds());
  prometheus::Histogram& inter_token =
      add("inter_token_latency_seconds", "From one token to the next.", inter_token_bounds());
  prometheus::Histogram& whole =
      add("e2e_request_latency_seconds", "From a request's arrival to its end.", request_bounds());
  prometheus::Histogram& queued =
      add("request_queue_time_seconds", "That a request waited for its place.", request_bounds());
  prometheus::Histogram& prefill =
      add("request_prefill_time_seconds", "From a request's place to its first token.",
          request_bounds());
  prometheus::Histogram& decode = add(
      "request_decode_time_seconds", "From a request's first token to its last.", request_bounds());
  prometheus::Histogram& prompt_tokens =
      add("request_prompt_tokens", "Tokens of a request's prompt.", token_bounds());
  prometheus::Histogram& generation_tokens =
      add("request_generation_tokens", "Tokens generated for a request.", token_bounds());
  prometheus::Family<prometheus::Counter>& success =
      prometheus::BuildCounter()
          .Name(prefix + "request_success_total")
          .Help("Requests that ended, by why they did.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& http;
  LastMinute recent_first_token;
  LastMinute recent_inter_token;
  std::atomic<int64_t> requests_finished = 0;
  mutable EngineFigures engine_figures{prefix, labels};
  mutable LearningFigures learning_figures;
  const Learning* learning = nullptr;  // null: nothing learns
};

Metrics::Metrics(const std::string& prefix, const std::string& model_name, const BuildInfo& build)
    : state_(std::make_unique<State>(prefix + ":", model_name, build)) {}
Metrics::~Metrics() = default;

void Metrics::count_finished(const std::string& finished_reason, const RequestTimes& times,
                             int64_t prompt_tokens, int64_t generation_tokens) {
  state_->finished(finished_reason).Increment();
  ++state_->requests_finished;
  observe(state_->queued, times.queued);
  observe(state_->prefill, times.prefill);
  observe(state_->first_token, times.first_token);
  observe(state_->decode, times.decode);
  observe(state_->whole, times.whole);
  state_->prompt_tokens.Observe(static_cast<double>(prompt_tokens));
  state_->generation_tokens.Observe(static_cast<double>(generation_tokens));
  if (times.first_token >= 0.0) state_->recent_first_token.observe(times.first_token);
}

void Metrics::observe_inter_token_latency(double seconds) {
  state_->inter_token.Observe(seconds);
  state_->recent_inter_token.observe(seconds);
}

void Metrics::count_http(const std::string& method, const std::string& route, int status) {
  const bool known = std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
  state_->http
      .Add({{"method", known ? method : "other"},
            {"route", route.empty() ? "none" : route},
            {"status", std::to_string(status)}})
      .Increment();
}

int64_t Metrics::requests_finished() const {
  return state_->requests_finished;
}

void Metrics::add_learning(const Learning& learning) {
  state_->learning = &learning;
}

std::string Metrics::scrape(const EngineThread::Snapshot& snapshot) const {
  std::vector<prometheus::MetricFamily> families = state_->engine_figures.read(snapshot);
  const auto add = [&](std::vector<prometheus::MetricFamily> more) {
    std::move(more.begin(), more.end(), std::back_inserter(families));
  };
  add(state_->registry.Collect());
  add(process_figures());
  if (state_->learning != nullptr) add(state_->learning_figures.read(state_->learning->status()));
  return serialize(std::move(families));
}

Percentiles Metrics::first_token_percentiles() const {
  return state_->recent_first_token.read();
}
Percentiles Metrics::inter_token_percentiles() const {
  return state_->recent_inter_token.read();
}

}  // namespace forerun
