#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "sampling/logprobs.h"
#include "sampling/sampler.h"

namespace forerun {
namespace {

// Close to a language model's: a broad mass far below a few likely tokens (standard deviation 2.5
// around 0, and a Zipf-like head up to 18).
std::vector<float> model_like_logits(int vocab_size) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  std::vector<float> logits(vocab_size);
  for (float& logit : logits) logit = normal(random);
  for (int rank = 1; rank <= 200; ++rank) {
    logits[random() % logits.size()] = 18.0f - 1.5f * std::log(static_cast<float>(rank));
  }
  return logits;
}

struct Setting {
  std::string name;
  SamplingParams params;
};

std::vector<Setting> settings() {
  std::vector<Setting> all(6);
  all[0].name = "greedy";
  all[0].params.temperature = 0.0f;
  all[1].name = "temperature_1";
  all[2].name = "top_k_40";
  all[2].params.top_k = 40;
  all[3].name = "top_p_0.9";
  all[3].params.top_p = 0.9f;
  all[4].name = "min_p_0.05";
  all[4].params.min_p = 0.05f;
  all[5].name = "top_k_40_top_p_0.9_repetition_1.1";
  all[5].params.top_k = 40;
  all[5].params.top_p = 0.9f;
  all[5].params.repetition_penalty = 1.1f;
  return all;
}

void bench_sample(benchmark::State& state, const Setting& setting, int vocab_size, Isa isa) {
  const std::vector<float> logits = model_like_logits(vocab_size);
  SamplerWorkspace workspace(vocab_size, isa);
  PenaltyState penalties(vocab_size, /*max_tokens=*/2048);
  std::vector<int32_t> prompt(1000);
  for (int i = 0; i < 1000; ++i) prompt[i] = i * 37 % vocab_size;
  penalties.reset(prompt);
  uint32_t position = 0;
  while (state.KeepRunning()) {
    const SamplePoint point = {setting.params, &penalties, {}, {1, 0, position++}};
    benchmark::DoNotOptimize(sample(logits, point, workspace)->token_id);
  }
  // The limit is one reading of the logits.
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * vocab_size * 4);
}

void bench_logprobs(benchmark::State& state, int vocab_size, Isa isa) {
  const std::vector<float> logits = model_like_logits(vocab_size);
  SamplerWorkspace workspace(vocab_size, isa);
  std::vector<TokenLogprob> top(20);
  while (state.KeepRunning()) {
    const Distribution raw = *raw_distribution(logits, workspace);
    benchmark::DoNotOptimize(logprobs_of(raw, /*token_id=*/0, top, workspace));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * vocab_size * 4);
}

void register_benches() {
  for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (available_isas().back() < isa) continue;
    for (int vocab_size : {49152, 151936}) {
      const std::string suffix = std::to_string(vocab_size).append("/").append(isa_name(isa));
      for (const Setting& setting : settings()) {
        benchmark::RegisterBenchmark((setting.name + "/" + suffix).c_str(), bench_sample, setting,
                                     vocab_size, isa)
            ->Unit(benchmark::kMicrosecond);
      }
      benchmark::RegisterBenchmark(std::string("raw_logprobs_top_20/").append(suffix).c_str(),
                                   bench_logprobs, vocab_size, isa)
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  forerun::register_benches();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
