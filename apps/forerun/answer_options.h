#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "loaded_model.h"

namespace forerun {

// How an answer is made, as `generate` and `chat` take it from the command line.
struct AnswerOptions {
  const CLI::App* command = nullptr;  // that they were given to
  Request request;
  std::optional<uint64_t> seed;
  std::vector<std::string> logit_bias;
  int threads = 0;
  int64_t kv_tokens = 0;
  std::optional<KvType> kv_type;
  std::string speculation = "auto";
};

// Adds the options. `max_tokens` is the default of --max-tokens.
void add_length_options(CLI::App& command, AnswerOptions& options, int64_t max_tokens);
void add_sampling_options(CLI::App& command, AnswerOptions& options);
void add_machine_options(CLI::App& command, AnswerOptions& options);

// The options as a request without a prompt. An Error names the flag and what it takes.
Result<Request> request_without_prompt(const AnswerOptions& options);

// For an engine that is to run such requests.
EngineOptions engine_options(const AnswerOptions& options, const LoadedModel& loaded,
                             const SpeculationOptions& speculation);

}  // namespace forerun
