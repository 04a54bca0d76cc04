#include "sampling/sampling_defaults.h"

#include <cmath>
#include <limits>
#include <string>

namespace forerun {
namespace {

struct Range {
  double low;
  double high;
};

// Absent and null are the same: nothing is said.
const Json* find(const Json& config, const char* key) {
  const auto found = config.find(key);
  return found == config.end() || found->is_null() ? nullptr : &*found;
}

template <typename T>
Status read(const Json& config, const char* key, Range range, std::optional<T>& value) {
  const Json* json = find(config, key);
  if (json == nullptr) return {};
  const double number = json->is_number() ? json->get<double>() : std::nan("");
  if (!(number >= range.low && number <= range.high)) {
    return Error{std::string("'") + key + "' is " +
                 json->dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 40) +
                 "; a number from " + Json(range.low).dump() + " to " + Json(range.high).dump() +
                 " is expected"};
  }
  value = static_cast<T>(number);
  return {};
}

}  // namespace

Result<SamplingDefaults> read_sampling_defaults(const Json& config) {
  constexpr double kLeastTopP = 1e-6;  // 0 would keep nothing
  constexpr double kMostTopK = std::numeric_limits<int32_t>::max();
  SamplingDefaults defaults;
  Status status = read(config, "temperature", {0, kMaxTemperature}, defaults.temperature);
  if (status.ok()) status = read(config, "top_k", {-1, kMostTopK}, defaults.top_k);
  if (status.ok()) status = read(config, "top_p", {kLeastTopP, 1}, defaults.top_p);
  if (status.ok()) status = read(config, "min_p", {0, 1}, defaults.min_p);
  if (status.ok()) {
    status = read(config, "repetition_penalty", {kMinRepetitionPenalty, kMaxRepetitionPenalty},
                  defaults.repetition_penalty);
  }
  if (!status.ok()) return status.error();
  const Json* do_sample = find(config, "do_sample");
  if (do_sample != nullptr && !do_sample->is_boolean()) {
    return Error{"'do_sample' is neither true nor false"};
  }
  if (do_sample != nullptr && !do_sample->get<bool>()) defaults.temperature = 0.0f;
  if (do_sample != nullptr && !defaults.temperature) defaults.temperature = 1.0f;
  return defaults;
}

}  // namespace forerun
