#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"

namespace forerun {

// Below this a temperature means greedy: the highest processed logit, ties to the lowest id.
constexpr float kGreedyTemperature = 1e-5f;

// What validate() holds a request to. The penalties and the bias have OpenAI's ranges.
constexpr float kMaxTemperature = 100.0f;
constexpr float kMinRepetitionPenalty = 0.01f;
constexpr float kMaxRepetitionPenalty = 100.0f;
constexpr float kMaxFrequencyPenalty = 2.0f;  // and its negative; presence_penalty likewise
constexpr float kMaxLogitBias = 100.0f;       // and its negative
constexpr int kMaxTopLogprobs = 20;

struct LogitBias {
  int32_t token_id;
  float bias;
};

// Which distribution log-probs are taken of; the answer states it.
enum class LogprobMode {
  kNone,
  kRaw,        // log-softmax of the model's untouched logits (OpenAI surface)
  kProcessed,  // of the distribution sampled from: after processors, temperature and filters
};

// How a request's tokens are chosen. The defaults sample from the model's own distribution.
struct SamplingParams {
  float temperature = 1.0f;
  int32_t top_k = 0;  // 0 and -1 are off; at or above the vocabulary size it keeps everything
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;    // over prompt and output: logit > 0 ? logit / p : logit * p
  float frequency_penalty = 0.0f;     // times the token's count in the output
  float presence_penalty = 0.0f;      // once for a token in the output
  std::vector<LogitBias> logit_bias;  // added; entries for the same token add up
  std::optional<uint64_t> seed;       // without one, draw_seed() and return what was drawn
  LogprobMode logprobs = LogprobMode::kNone;
  int32_t top_logprobs = 0;

  bool greedy() const { return temperature < kGreedyTemperature; }
  bool has_penalties() const {
    return repetition_penalty != 1.0f || frequency_penalty != 0.0f || presence_penalty != 0.0f;
  }
  bool has_filters(int vocab_size) const {
    return (top_k > 0 && top_k < vocab_size) || top_p < 1.0f || min_p > 0.0f;
  }
};

// An Error names the field, its value and the limit. sample() takes validated parameters only.
Status validate(const SamplingParams& params, int vocab_size);

// A seed for a request that came without one. Below 2^53, so that it survives JSON in every client.
uint64_t draw_seed();

}  // namespace forerun
