#include "model_sampling.h"

#include <optional>

namespace forerun {

Result<SamplingDefaults> advised_sampling(const ModelFiles& files) {
  if (files.directory() == nullptr) return SamplingDefaults();
  Result<SamplingDefaults> defaults =
      read_sampling_defaults(files.directory()->generation_config());
  if (defaults.ok()) return defaults;
  return Error{files.path() + "/generation_config.json: " + defaults.error().message};
}

Status use_model_sampling(const ModelFiles& files, const CLI::App& command,
                          SamplingParams& sampling) {
  const Result<SamplingDefaults> defaults = advised_sampling(files);
  if (!defaults.ok()) return defaults.error();
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
