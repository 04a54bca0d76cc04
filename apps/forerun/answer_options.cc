#include "answer_options.h"

#include <charconv>
#include <limits>

#include "model_options.h"
#include "speculation_options.h"

namespace forerun {
namespace {

// "ID=BIAS"
Result<LogitBias> parse_logit_bias(const std::string& text) {
  LogitBias entry{};
  const char* end = text.data() + text.size();
  const auto id = std::from_chars(text.data(), end, entry.token_id);
  if (id.ec == std::errc() && id.ptr != end && *id.ptr == '=') {
    const auto bias = std::from_chars(id.ptr + 1, end, entry.bias);
    if (bias.ec == std::errc() && bias.ptr == end) return entry;
  }
  return Error{"--logit-bias is " + text + "; it must be a token id, = and a number, as in 198=-5"};
}

}  // namespace

void add_length_options(CLI::App& command, AnswerOptions& options, int64_t max_tokens) {
  constexpr char kGroup[] = "Length";
  Request& request = options.request;
  request.max_tokens = max_tokens;
  command
      .add_option("-n,--max-tokens", request.max_tokens,
                  "Longest answer; 0: what the context holds")
      ->check(from_to<int64_t>(0, int64_t{1} << 31))
      ->type_name("N")
      ->capture_default_str()
      ->group(kGroup);
  command.add_option("--stop", request.stop_strings, "End before this text (repeatable)")
      ->check([](const std::string& text) { return text.empty() ? "must not be empty" : ""; })
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(kGroup);
  command.add_flag("--ignore-eos", request.ignore_eos, "Go on where the model would end")
      ->group(kGroup);
}

void add_sampling_options(CLI::App& command, AnswerOptions& options) {
  options.command = &command;
  SamplingParams& sampling = options.request.sampling;
  sampling.temperature = 0.0f;
  const auto number = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)
        ->type_name("X")
        ->capture_default_str()
        ->group("Sampling");
  };
  number("--temperature", sampling.temperature, "0 always takes the likeliest token");
  number("--top-k", sampling.top_k, "Keep the k likeliest tokens; 0: all")->type_name("K");
  number("--top-p", sampling.top_p, "Keep the likeliest up to this probability; 1: all");
  number("--min-p", sampling.min_p, "Keep tokens this likely beside the likeliest; 0: all");
  number("--repetition-penalty", sampling.repetition_penalty,
         "Make what was there less likely; 1: no change");
  number("--frequency-penalty", sampling.frequency_penalty,
         "Subtract for each time the answer has the token");
  number("--presence-penalty", sampling.presence_penalty,
         "Subtract once if the answer has the token");
  command.add_option("--logit-bias", options.logit_bias, "Add to a token's logit (repeatable)")
      ->allow_extra_args(false)
      ->type_name("ID=X")
      ->group("Sampling");
  command.add_option("--seed", options.seed, "Same seed, same tokens; drawn when not given")
      ->check(from_to<uint64_t>(0, std::numeric_limits<uint64_t>::max()))
      ->type_name("N")
      ->group("Sampling");
}

void add_machine_options(CLI::App& command, AnswerOptions& options) {
  add_threads(command, options.threads);
  add_kv_type(command, options.kv_type);
  command
      .add_option("--kv-tokens", options.kv_tokens,
                  "Room for keys and values; 0: as the engine sees fit")
      ->check(from_to<int64_t>(0, std::numeric_limits<int64_t>::max()))
      ->type_name("N")
      ->capture_default_str()
      ->group(kMachineOptions);
  add_speculation(command, options.speculation)->group(kMachineOptions);
}

Result<Request> request_without_prompt(const AnswerOptions& options) {
  Request request = options.request;
  request.sampling.seed = options.seed;
  for (const std::string& text : options.logit_bias) {
    const Result<LogitBias> entry = parse_logit_bias(text);
    if (!entry.ok()) return entry.error();
    request.sampling.logit_bias.push_back(*entry);
  }
  return request;
}

EngineOptions engine_options(const AnswerOptions& options, const LoadedModel& loaded,
                             const SpeculationOptions& speculation) {
  EngineOptions engine = loaded.engine_options();
  engine.kv_tokens = options.kv_tokens;
  engine.kv_type = options.kv_type;
  engine.speculation = speculation;
  if (!options.request.stop_strings.empty()) engine.token_bytes = loaded.token_bytes();
  return engine;
}

}  // namespace forerun
