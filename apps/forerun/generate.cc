#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "commands.h"
#include "engine/stop_matcher.h"
#include "loaded_model.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"

namespace forerun {
namespace {

struct GenerateOptions {
  std::string model;
  std::string prompt;
  std::string system;
  bool raw = false;
  int64_t max_tokens = 512;
  int n = 1;
  SamplingParams sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  int64_t seed = -1;
  int threads = 0;
  int64_t kv_tokens = 0;
  bool quiet = false;
};

volatile std::sig_atomic_t interrupted = 0;

// One choice's text on its way out.
struct Output {
  Output(const Tokenizer& tokenizer, const std::vector<std::string>& stops)
      : detokenizer(tokenizer.vocabulary()), matcher(stops) {}

  void add(std::string_view piece) {
    text += piece;
    if (!stopped) stopped = matcher.push(piece).has_value();
  }
  // What may be shown now and was not yet.
  std::string_view fresh() {
    const std::string_view all(text);
    const auto settled = static_cast<size_t>(matcher.settled_bytes());
    const std::string_view out = all.substr(shown, settled - shown);
    shown = settled;
    return out;
  }
  std::string_view rest() {
    const std::string_view all(text);
    const size_t end = stopped ? static_cast<size_t>(matcher.settled_bytes()) : all.size();
    const std::string_view out = all.substr(shown, end - shown);
    shown = end;
    return out;
  }

  Detokenizer detokenizer;
  StopMatcher matcher;
  std::string text;
  size_t shown = 0;
  bool stopped = false;
};

Result<std::string> read_prompt(const GenerateOptions& options) {
  if (options.prompt != "-") return options.prompt;
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

Result<std::vector<int32_t>> encode_prompt(const GenerateOptions& options,
                                           const Tokenizer& tokenizer) {
  const Result<std::string> prompt = read_prompt(options);
  if (!prompt.ok()) return prompt.error();
  if (options.raw) {
    return tokenizer.encode(*prompt, /*add_special=*/true, /*parse_special=*/false);
  }
  if (tokenizer.chat_template().empty()) {
    return Error{"the model has no chat template; give --raw to continue plain text"};
  }
  OrderedJson messages = OrderedJson::array();
  if (!options.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", options.system}});
  }
  messages.push_back({{"role", "user"}, {"content", *prompt}});
  ChatOptions chat;
  chat.bos_text = tokenizer.bos_text();
  chat.eos_text = tokenizer.eos_text();
  const Result<std::string> text = render_chat(tokenizer.chat_template(), messages, chat);
  if (!text.ok()) return text.error();
  return tokenizer.encode(*text, /*add_special=*/false, /*parse_special=*/true);
}

struct Timing {
  double begin = 0.0;
  double first_token = 0.0;
  double end = 0.0;
  int64_t prompt_tokens = 0;
  int64_t tokens = 0;
};

void print_timing(const LoadedModel& loaded, const Timing& timing) {
  const double prompt_seconds = timing.first_token - timing.begin;
  const double decode_seconds = timing.end - timing.first_token;
  std::fprintf(stderr, "\nload %.2f s | prompt %lld tokens in %.2f s", loaded.load_seconds,
               static_cast<long long>(timing.prompt_tokens), prompt_seconds);
  if (timing.tokens > 1 && decode_seconds > 0.0) {
    std::fprintf(stderr, " | %lld tokens, %.1f tokens/s", static_cast<long long>(timing.tokens),
                 static_cast<double>(timing.tokens - 1) / decode_seconds);
  }
  std::fprintf(stderr, " | %s, %d threads\n", std::string(loaded.kernels->name).c_str(),
               loaded.team->size());
}

// Runs one request to its end, printing as it goes; several choices one after the other.
int run_request(Engine& engine, const LoadedModel& loaded, const GenerateOptions& options,
                Request request) {
  const Tokenizer& tokenizer = *loaded.tokenizer;
  std::vector<Output> outputs;
  for (int choice = 0; choice < options.n; ++choice) outputs.emplace_back(tokenizer, options.stop);
  Timing timing;
  timing.begin = now_seconds();
  timing.prompt_tokens = static_cast<int64_t>(request.prompt.size());
  std::string error;
  const auto write = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  request.on_token = [&](const TokenEvent& event) {
    if (timing.tokens++ == 0) timing.first_token = now_seconds();
    Output& output = outputs[event.choice];
    if (tokenizer.is_end(event.token_id)) return;
    output.add(output.detokenizer.push(event.token_id));
    if (options.n == 1) write(output.fresh());
  };
  request.on_finish = [&](const FinishEvent& event) {
    if (event.reason == FinishReason::kError) error = event.error;
    Output& output = outputs[event.choice];
    output.add(output.detokenizer.finish());
    if (options.n == 1) write(output.rest());
  };
  const Result<RequestId> id = engine.add(std::move(request));
  if (!id.ok()) return failed(id.error());
  while (engine.step()) {
    if (interrupted != 0) engine.cancel(*id);
  }
  timing.end = now_seconds();
  if (options.n > 1) {
    for (int choice = 0; choice < options.n; ++choice) {
      std::printf("%s--- %d ---\n", choice > 0 ? "\n" : "", choice);
      write(outputs[choice].rest());
      std::putchar('\n');
    }
  }
  std::putchar('\n');
  if (!error.empty()) return failed({error});
  if (!options.quiet) print_timing(loaded, timing);
  return interrupted != 0 ? 130 : 0;
}

int generate(GenerateOptions options) {
  Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const Result<const Tokenizer*> tokenizer = need_tokenizer(*loaded);
  if (!tokenizer.ok()) return failed(tokenizer.error());
  Result<std::vector<int32_t>> prompt = encode_prompt(options, **tokenizer);
  if (!prompt.ok()) return failed(prompt.error());

  EngineOptions engine_options = loaded->engine_options();
  engine_options.kv_tokens = options.kv_tokens;
  if (!options.stop.empty()) {
    for (int32_t id = 0; id < (*tokenizer)->vocab_size(); ++id) {
      engine_options.token_bytes.emplace_back((*tokenizer)->token_bytes(id));
    }
  }
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(*loaded->model, *loaded->kernels, *loaded->team, std::move(engine_options));
  if (!engine.ok()) return failed(engine.error());

  Request request;
  request.prompt = std::move(*prompt);
  request.sampling = options.sampling;
  if (options.seed >= 0) request.sampling.seed = static_cast<uint64_t>(options.seed);
  request.max_tokens = options.max_tokens;
  request.n = options.n;
  request.stop_strings = options.stop;
  request.ignore_eos = options.ignore_eos;
  std::signal(SIGINT, [](int) { interrupted = 1; });
  return run_request(**engine, *loaded, options, std::move(request));
}

void add_sampling_options(CLI::App& command, GenerateOptions& options) {
  SamplingParams& sampling = options.sampling;
  sampling.temperature = 0.0f;
  constexpr char kGroup[] = "Sampling";
  command.add_option("--temperature,-t", sampling.temperature, "0 always takes the likeliest token")
      ->group(kGroup)
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Keep the k likeliest tokens; 0 keeps all")
      ->group(kGroup);
  command.add_option("--top-p", sampling.top_p, "Keep the likeliest tokens up to this probability")
      ->group(kGroup);
  command.add_option("--min-p", sampling.min_p, "Keep tokens this likely relative to the likeliest")
      ->group(kGroup);
  command.add_option("--repetition-penalty", sampling.repetition_penalty, "1 is none")
      ->group(kGroup);
  command.add_option("--frequency-penalty", sampling.frequency_penalty, "0 is none")
      ->group(kGroup);
  command.add_option("--presence-penalty", sampling.presence_penalty, "0 is none")->group(kGroup);
  command.add_option("--seed", options.seed, "Same seed, same tokens")
      ->group(kGroup)
      ->check(CLI::NonNegativeNumber);
}

}  // namespace

void add_generate(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "Answer a prompt");
  command->group(kRunCommands);
  command->add_option("MODEL", options->model, "A short name, or a GGUF file")->required();
  command->add_option("--prompt,-p", options->prompt, "What to ask; - reads standard input")
      ->required();
  command->add_option("--system", options->system, "The system message");
  command->add_flag("--raw", options->raw, "Continue the text itself, without the chat template");
  command->add_option("--max-tokens,-n", options->max_tokens, "Longest answer; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--choices", options->n, "Answers to make")->check(CLI::Range(1, 128));
  command->add_option("--stop", options->stop, "End before this text; may be given several times");
  command->add_flag("--ignore-eos", options->ignore_eos, "Go on where the model would end");
  command->add_option("--threads", options->threads, "0: every usable processor")
      ->check(CLI::Range(0, 1024));
  command->add_option("--kv-tokens", options->kv_tokens, "Room for keys and values, in tokens")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--quiet,-q", options->quiet, "No timing line");
  add_sampling_options(*command, *options);
  command->callback([options, &exit_code] { exit_code = generate(*options); });
}

}  // namespace forerun
