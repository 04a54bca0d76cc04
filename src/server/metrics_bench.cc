#include <benchmark/benchmark.h>

#include "server/metrics.h"

namespace forerun {
namespace {

// What every token costs, on the I/O thread.
void observe_inter_token_latency(benchmark::State& state) {
  Metrics metrics("vllm", "tiny");
  double seconds = 0.001;
  for (auto _ : state) {
    metrics.observe_inter_token_latency(seconds);
    seconds = seconds < 1.0 ? seconds * 1.1 : 0.001;
  }
}
BENCHMARK(observe_inter_token_latency);

void count_finished(benchmark::State& state) {
  Metrics metrics("vllm", "tiny");
  for (auto _ : state) {
    metrics.count_finished("stop", {0.1, 0.2, 0.3, 0.4, 0.5}, 100, 100);
  }
}
BENCHMARK(count_finished);

void count_http(benchmark::State& state) {
  Metrics metrics("vllm", "tiny");
  for (auto _ : state) metrics.count_http("POST", "/v1/chat/completions", 200);
}
BENCHMARK(count_http);

void scrape(benchmark::State& state) {
  const Metrics metrics("vllm", "tiny");
  for (auto _ : state) benchmark::DoNotOptimize(metrics.scrape({}));
}
BENCHMARK(scrape);

}  // namespace
}  // namespace forerun

BENCHMARK_MAIN();
