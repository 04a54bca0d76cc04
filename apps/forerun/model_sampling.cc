#include "model_sampling.h"

#include <optional>

#include "sampling/sampling_defaults.h"

namespace forerun {

Status use_model_sampling(const ModelFiles& files, const CLI::App& command,
                          SamplingParams& sampling) {
  if (files.directory() == nullptr) return {};
  const Result<SamplingDefaults> defaults =
      read_sampling_defaults(files.directory()->generation_config());
  if (!defaults.ok()) {
    return Error{files.path() + "/generation_config.json: " + defaults.error().message};
  }
  const auto use = [&](const char* flag, const auto& value, auto& place) {
    if (value.has_value() && command.count(flag) == 0) place = *value;
  };
  use("--temperature", defaults->temperature, sampling.temperature);
  use("--top-k", defaults->top_k, sampling.top_k);
  use("--top-p", defaults->top_p, sampling.top_p);
  use("--min-p", defaults->min_p, sampling.min_p);
  use("--repetition-penalty", defaults->repetition_penalty, sampling.repetition_penalty);
  return {};
}

}  // namespace forerun
