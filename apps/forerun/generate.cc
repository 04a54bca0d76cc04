#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answer.h"
#include "base/clock.h"
#include "commands.h"
#include "loaded_model.h"
#include "model_options.h"
#include "prompt.h"
#include "text_input.h"

namespace forerun {
namespace {

struct GenerateOptions {
  std::string model;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  std::string system;
  bool raw = false;
  Request request;
  std::optional<uint64_t> seed;
  std::optional<int> top_logprobs;
  bool processed_logprobs = false;
  std::vector<std::string> logit_bias;
  int threads = 0;
  int64_t kv_tokens = 0;
  std::optional<KvType> kv_type;
  bool json = false;
  bool quiet = false;
};

volatile std::sig_atomic_t interrupted = 0;

// The first signal ends the answer where it is, the second ends the process.
void end_answer_on_signals() {
  struct sigaction action{};
  action.sa_handler = [](int signal) { interrupted = signal; };
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// Several times what the longest contexts hold. Cutting a text into tokens takes some fifteen times
// its size in memory.
constexpr size_t kMostPromptBytes = 16'000'000;

Result<std::string> read_prompt(const GenerateOptions& options) {
  if (options.file.has_value()) return read_text(*options.file, kMostPromptBytes);
  if (options.prompt.has_value() && *options.prompt != "-") return *options.prompt;
  if (!options.prompt.has_value() && isatty(STDIN_FILENO) != 0) {
    return Error{"there is no prompt; give -p TEXT, -f FILE, or text on standard input"};
  }
  return read_text("-", kMostPromptBytes);
}

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

Status complete_sampling(const GenerateOptions& options, SamplingParams& sampling) {
  sampling.seed = options.seed;
  if (options.top_logprobs.has_value()) {
    sampling.logprobs = options.processed_logprobs ? LogprobMode::kProcessed : LogprobMode::kRaw;
    sampling.top_logprobs = *options.top_logprobs;
  }
  for (const std::string& text : options.logit_bias) {
    const Result<LogitBias> entry = parse_logit_bias(text);
    if (!entry.ok()) return entry.error();
    sampling.logit_bias.push_back(*entry);
  }
  return {};
}

EngineOptions engine_options(const GenerateOptions& options, const LoadedModel& loaded) {
  EngineOptions engine = loaded.engine_options();
  engine.kv_tokens = options.kv_tokens;
  engine.kv_type = options.kv_type;
  if (options.request.stop_strings.empty()) return engine;
  // A model may have more ids than its tokenizer: rows that fill its matrix up.
  for (int32_t id = 0; id < loaded.model->descriptor().vocab_size; ++id) {
    engine.token_bytes.emplace_back(loaded.tokenizer->token_bytes(id));
  }
  return engine;
}

Status check_length(const Request& request, const Engine& engine, int64_t context) {
  const auto tokens = static_cast<int64_t>(request.prompt.size());
  const int64_t limit = engine.context_length();
  if (tokens < limit) return {};
  return Error{"the prompt has " + std::to_string(tokens) + " tokens; " +
               (limit < context ? "--kv-tokens leaves room for " : "the model's context is ") +
               std::to_string(limit) + ", the answer included: shorten the prompt" +
               (limit < context ? " or raise --kv-tokens" : "")};
}

// Standard output, and the first failure of writing to it.
class Output final {
 public:
  void write(std::string_view text) {
    if (failed_with_ != 0 || text.empty()) return;
    errno = 0;
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    if (!written || std::fflush(stdout) != 0) failed_with_ = errno != 0 ? errno : EIO;
  }
  bool failed() const { return failed_with_ != 0; }
  Error error() const {
    return Error{std::string("cannot write the answer: ") + std::strerror(failed_with_)};
  }

 private:
  int failed_with_ = 0;
};

// Runs the request to its end; a single choice is written as it comes.
Status run(Engine& engine, Request request, bool stream, Answer& answer, Output& output) {
  request.on_token = [&](const TokenEvent& event) {
    const std::string_view fresh = answer.add(event);
    if (stream) output.write(fresh);
  };
  request.on_finish = [&](const FinishEvent& event) {
    const std::string_view fresh = answer.finish(event);
    if (stream) output.write(fresh);
  };
  answer.begin();
  const Result<RequestId> id = engine.add(std::move(request));
  if (!id.ok()) return id.error();
  while (engine.step()) {
    if (interrupted != 0 || output.failed()) engine.cancel(*id);
  }
  answer.end();
  return {};
}

void write_whole(const GenerateOptions& options, const LoadedModel& loaded,
                 const std::string& fingerprint, const Answer& answer, Output& output) {
  if (options.json) {
    const Json json = answer.json(loaded, fingerprint);
    // Half a character at the end of a cut answer need not be UTF-8.
    output.write(json.dump(/*indent=*/2, ' ', false, Json::error_handler_t::replace) + "\n");
  } else if (options.request.n > 1) {
    output.write(answer.all_choices());
  } else {
    output.write("\n");
  }
}

Result<Request> make_request(const GenerateOptions& options, const LoadedModel& loaded,
                             const std::string& text) {
  Request request = options.request;
  if (const Status status = complete_sampling(options, request.sampling); !status.ok()) {
    return status.error();
  }
  const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded);
  if (!tokenizer.ok()) return tokenizer.error();
  Result<std::vector<int32_t>> prompt = options.raw
                                            ? encode_beginning(**tokenizer, text)
                                            : encode_question(**tokenizer, text, options.system);
  if (!prompt.ok()) return prompt.error();
  request.prompt = std::move(*prompt);
  return request;
}

int answer_request(const GenerateOptions& options, const LoadedModel& loaded, Engine& engine,
                   Request request) {
  Answer answer(*loaded.tokenizer, request);
  Output output;
  end_answer_on_signals();
  const bool stream = !options.json && request.n == 1;
  const Status ran = run(engine, std::move(request), stream, answer, output);
  if (!ran.ok()) return failed(ran.error());
  write_whole(options, loaded, engine.fingerprint(), answer, output);
  if (output.failed()) return failed(output.error());
  if (!answer.error().empty()) return failed({answer.error()});
  if (!options.quiet) std::fprintf(stderr, "\n%s\n", answer.timing_line(loaded).c_str());
  return interrupted != 0 ? 128 + interrupted : 0;
}

int generate(const GenerateOptions& options) {
  const Result<std::string> text = read_prompt(options);
  if (!text.ok()) return failed(text.error());
  const Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  Result<Request> request = make_request(options, *loaded, *text);
  if (!request.ok()) return failed(request.error());
  const Result<std::unique_ptr<Engine>> engine = Engine::create(
      *loaded->model, *loaded->kernels, *loaded->team, engine_options(options, *loaded));
  if (!engine.ok()) return failed(engine.error());
  const int64_t context = loaded->model->descriptor().context_length;
  if (const Status status = check_length(*request, **engine, context); !status.ok()) {
    return failed(status.error());
  }
  return answer_request(options, *loaded, **engine, std::move(*request));
}

void add_prompt_options(CLI::App& command, GenerateOptions& options) {
  constexpr char kGroup[] = "Prompt";
  CLI::Option* prompt =
      command.add_option("-p,--prompt", options.prompt, "What to ask; - reads standard input");
  prompt->group(kGroup)->type_name("TEXT");
  command.add_option("-f,--file", options.file, "Read it from a file; - is standard input")
      ->group(kGroup)
      ->type_name("FILE")
      ->excludes(prompt);
  CLI::Option* system = command.add_option("--system", options.system, "The system message");
  system->group(kGroup)->type_name("TEXT");
  command.add_flag("--raw", options.raw, "Continue the text itself: no chat template")
      ->group(kGroup)
      ->excludes(system);
}

void add_length_options(CLI::App& command, GenerateOptions& options) {
  constexpr char kGroup[] = "Length";
  Request& request = options.request;
  request.max_tokens = 512;
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
  command.add_option("--choices", request.n, "Answers to make of one prompt")
      ->check(from_to(1, 128))
      ->type_name("N")
      ->capture_default_str()
      ->group(kGroup);
}

void add_sampling_options(CLI::App& command, GenerateOptions& options) {
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

void add_output_options(CLI::App& command, GenerateOptions& options) {
  CLI::Option* json =
      add_json(command, options.json, "Print one JSON document: text, token ids, usage, timing");
  CLI::Option* logprobs =
      command.add_option("--logprobs", options.top_logprobs,
                         "With --json: log-probs of each token and the N likeliest");
  logprobs->check(from_to(0, kMaxTopLogprobs))->type_name("N")->needs(json)->group(kOutputOptions);
  command
      .add_flag("--processed-logprobs", options.processed_logprobs,
                "Log-probs of what was sampled from, not the raw ones")
      ->needs(logprobs)
      ->group(kOutputOptions);
  command.add_flag("-q,--quiet", options.quiet, "No timing line")->group(kOutputOptions);
}

}  // namespace

void add_generate(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "Answer a prompt");
  command->group(kRunCommands);
  add_model(*command, options->model);
  add_prompt_options(*command, *options);
  add_length_options(*command, *options);
  add_sampling_options(*command, *options);
  add_output_options(*command, *options);
  add_threads(*command, options->threads);
  add_kv_type(*command, options->kv_type);
  command
      ->add_option("--kv-tokens", options->kv_tokens,
                   "Room for keys and values; 0: as the engine sees fit")
      ->check(from_to<int64_t>(0, std::numeric_limits<int64_t>::max()))
      ->type_name("N")
      ->capture_default_str()
      ->group(kMachineOptions);
  command->footer(
      "The answer goes to standard output, the timing line to standard error. Ctrl-C ends the\n"
      "answer, a second one the process.\n\n"
      "Examples:\n"
      "  forerun generate smollm2-135m -p \"Why is the sky blue?\"\n"
      "  forerun generate smollm2-135m -f notes.txt --system \"Summarise in one line.\" -n 60\n"
      "  forerun generate smollm2-135m --raw -p \"Once upon a time\" --temperature 0.8 --seed 7\n"
      "  git diff | forerun generate smollm2-135m --json | jq -r .choices[0].text");
  command->callback([options, &exit_code] { exit_code = generate(*options); });
}

}  // namespace forerun
