#include "server/sampling_fields.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace forerun {
namespace {

constexpr int64_t kAnyLength = std::numeric_limits<int64_t>::max();

template <typename T, typename Value>
void use(const std::optional<Value>& value, T& place) {
  if (value) place = static_cast<T>(*value);
}

void read_distribution(JsonFields& fields, SamplingParams& sampling) {
  use(fields.number("temperature"), sampling.temperature);
  use(fields.number("top_p"), sampling.top_p);
  use(fields.integer("top_k", -1, std::numeric_limits<int32_t>::max()), sampling.top_k);
  use(fields.number("min_p"), sampling.min_p);
  use(fields.number("frequency_penalty"), sampling.frequency_penalty);
  use(fields.number("presence_penalty"), sampling.presence_penalty);
  use(fields.number("repeat_penalty"), sampling.repetition_penalty);
  use(fields.number("repetition_penalty"), sampling.repetition_penalty);
  if (const std::optional<uint64_t> seed = fields.bits("seed")) sampling.seed = seed;
}

// A token id as JSON's keys have to write it.
std::optional<int32_t> id_of_key(const std::string& key, int64_t vocab_size) {
  int32_t id = -1;
  const char* end = key.data() + key.size();
  const auto [stop, failure] = std::from_chars(key.data(), end, id);
  if (failure != std::errc() || stop != end || id < 0 || id >= vocab_size) return std::nullopt;
  return id;
}

void read_bias(JsonFields& fields, int64_t vocab_size, SamplingParams& sampling) {
  const OrderedJson* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  for (const auto& [key, value] : biases->items()) {
    const std::optional<int32_t> id = id_of_key(key, vocab_size);
    if (!id) {
      return fields.refuse("logit_bias", "has the key \"" + key.substr(0, 40) +
                                             "\"; keys are token ids from 0 to " +
                                             std::to_string(vocab_size - 1));
    }
    const double bias = value.is_number() ? value.get<double>() : HUGE_VAL;
    if (!(bias >= -kMaxLogitBias && bias <= kMaxLogitBias)) {
      return fields.refuse("logit_bias", "of token " + key + " must be a number from -100 to 100");
    }
    sampling.logit_bias.push_back({*id, static_cast<float>(bias)});
  }
}

void read_stops(JsonFields& fields, const ModelService& service, Request& request) {
  if (auto stops = fields.texts("stop", kMaxStopStrings)) request.stop_strings = std::move(*stops);
  for (const std::string& stop : request.stop_strings) {
    if (!stop.empty() && stop.size() <= kMaxStopBytes) continue;
    fields.refuse("stop", "has a string of " + std::to_string(stop.size()) +
                              " bytes; strings have 1 to " + std::to_string(kMaxStopBytes));
  }
  if (!request.stop_strings.empty() && service.tokenizer == nullptr) {
    fields.refuse("stop", "needs a tokenizer: " + service.tokenizer_error);
  }
  if (auto ids = fields.token_ids("stop_token_ids", service.vocab_size, kMaxStopIds)) {
    request.stop_ids = std::move(*ids);
  }
  use(fields.flag("ignore_eos"), request.ignore_eos);
}

// The ranges that the sampler holds parameters to, before a stream has begun.
void check_ranges(JsonFields& fields, int64_t vocab_size, const SamplingParams& sampling) {
  const Status status = validate(sampling, static_cast<int>(vocab_size));
  if (fields.ok() && !status.ok()) {
    const RequestError error = rejected_by_engine(status.error());
    fields.refuse_with(error.param, error.message);
  }
}

}  // namespace

void read_sampling_fields(JsonFields& fields, const ModelService& service,
                          std::initializer_list<const char*> length_names, int64_t max_tokens,
                          Request& request) {
  request.sampling = service.sampling_defaults;
  read_distribution(fields, request.sampling);
  read_bias(fields, service.vocab_size, request.sampling);
  read_stops(fields, service, request);
  use(fields.integer("n", 1, kMaxChoices), request.n);
  check_ranges(fields, service.vocab_size, request.sampling);
  request.max_tokens = max_tokens;
  for (const char* name : length_names) {
    const std::optional<int64_t> given = fields.integer(name, 0, kAnyLength);
    if (!given) continue;
    request.max_tokens = *given;
    // To the engine, none is no limit.
    request.prompt_only = *given == 0;
    if (request.prompt_only && request.n > 1) {
      fields.refuse(name, "is 0; that takes n = 1");
    }
    return;
  }
}

}  // namespace forerun
