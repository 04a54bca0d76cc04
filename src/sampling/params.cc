#include "sampling/params.h"

#include <random>
#include <sstream>
#include <string>

namespace forerun {
namespace {

template <typename T>
Status require(bool holds, const std::string& field, T value, const std::string& limit) {
  if (holds) return {};
  std::ostringstream sentence;
  sentence.precision(9);  // shows every float as it is
  sentence << field << " is " << value << "; it must be " << limit;
  return Error{sentence.str()};
}

// Written so that NaN, which no comparison holds for, is outside.
Status require_range(const std::string& field, float value, float low, float high) {
  std::ostringstream limit;
  limit << "from " << low << " to " << high;
  return require(value >= low && value <= high, field, value, limit.str());
}

Status validate_filters(const SamplingParams& params) {
  if (Status s = require(params.top_k >= -1, "top_k", params.top_k, "at least -1 (0 and -1: off)");
      !s.ok())
    return s;
  if (Status s = require(params.top_p > 0.0f && params.top_p <= 1.0f, "top_p", params.top_p,
                         "above 0 and at most 1");
      !s.ok())
    return s;
  return require_range("min_p", params.min_p, 0.0f, 1.0f);
}

Status validate_penalties(const SamplingParams& params) {
  if (Status s = require_range("repetition_penalty", params.repetition_penalty,
                               kMinRepetitionPenalty, kMaxRepetitionPenalty);
      !s.ok())
    return s;
  if (Status s = require_range("frequency_penalty", params.frequency_penalty, -kMaxFrequencyPenalty,
                               kMaxFrequencyPenalty);
      !s.ok())
    return s;
  return require_range("presence_penalty", params.presence_penalty, -kMaxFrequencyPenalty,
                       kMaxFrequencyPenalty);
}

Status validate_logit_bias(const std::vector<LogitBias>& entries, int vocab_size) {
  if (Status s = require(entries.size() <= static_cast<size_t>(vocab_size),
                         "logit_bias's number of entries", entries.size(),
                         "at most " + std::to_string(vocab_size));
      !s.ok())
    return s;
  for (const LogitBias& entry : entries) {
    if (Status s =
            require(entry.token_id >= 0 && entry.token_id < vocab_size, "logit_bias token id",
                    entry.token_id, "from 0 to " + std::to_string(vocab_size - 1));
        !s.ok())
      return s;
    if (Status s = require_range("logit_bias of token " + std::to_string(entry.token_id),
                                 entry.bias, -kMaxLogitBias, kMaxLogitBias);
        !s.ok())
      return s;
  }
  return {};
}

}  // namespace

Status validate(const SamplingParams& params, int vocab_size) {
  if (Status s = require_range("temperature", params.temperature, 0.0f, kMaxTemperature); !s.ok())
    return s;
  if (Status s = validate_filters(params); !s.ok()) return s;
  if (Status s = validate_penalties(params); !s.ok()) return s;
  if (Status s = validate_logit_bias(params.logit_bias, vocab_size); !s.ok()) return s;
  return require(params.top_logprobs >= 0 && params.top_logprobs <= kMaxTopLogprobs, "top_logprobs",
                 params.top_logprobs, "from 0 to " + std::to_string(kMaxTopLogprobs));
}

uint64_t draw_seed() {
  std::random_device entropy;
  const uint64_t bits = (uint64_t{entropy()} << 32) | entropy();
  return bits >> 11;
}

}  // namespace forerun
