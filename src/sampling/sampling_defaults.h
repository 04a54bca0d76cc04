#pragma once

#include <cstdint>
#include <optional>

#include "base/json.h"
#include "base/result.h"
#include "sampling/params.h"

namespace forerun {

// How a model's makers sample from it, as its `generation_config.json` says; empty where it says
// nothing. `"do_sample": false` is a temperature of 0, true without a temperature one of 1.
struct SamplingDefaults {
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
};

// An Error names a value of another kind, or one that validate() would refuse.
Result<SamplingDefaults> read_sampling_defaults(const Json& generation_config);

}  // namespace forerun
