#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "answer.h"
#include "answer_options.h"
#include "commands.h"
#include "grammar_options.h"
#include "interruption.h"
#include "loaded_model.h"
#include "model_options.h"
#include "model_sampling.h"
#include "prompt.h"
#include "speculation_options.h"
#include "stream_answer.h"
#include "text_input.h"

namespace forerun {
namespace {

struct GenerateOptions {
  std::string model;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  std::string system;
  bool raw = false;
  AnswerOptions answer;
  GrammarOptions grammar;
  std::optional<int> top_logprobs;
  bool processed_logprobs = false;
  bool json = false;
  bool quiet = false;
};

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

Status check_length(const Request& request, const Engine& engine, int64_t context) {
  const auto tokens = static_cast<int64_t>(request.prompt.size());
  const int64_t limit = engine.context_length();
  if (tokens < limit) return {};
  return Error{"the prompt has " + std::to_string(tokens) + " tokens; " +
               (limit < context ? "--kv-tokens leaves room for " : "the model's context is ") +
               std::to_string(limit) + ", the answer included: shorten the prompt" +
               (limit < context ? " or raise --kv-tokens" : "")};
}

void write_whole(const GenerateOptions& options, const LoadedModel& loaded,
                 const std::string& fingerprint, const Answer& answer, Output& output) {
  if (options.json) {
    const Json json = answer.json(loaded, fingerprint);
    // Half a character at the end of a cut answer need not be UTF-8.
    output.write(json.dump(/*indent=*/2, ' ', false, Json::error_handler_t::replace) + "\n");
  } else if (options.answer.request.n > 1) {
    output.write(answer.all_choices());
  } else {
    output.write("\n");
  }
}

Result<Request> make_request(const GenerateOptions& options, const LoadedModel& loaded,
                             const std::string& text) {
  Result<Request> request = request_without_prompt(options.answer);
  if (!request.ok()) return request.error();
  if (options.top_logprobs.has_value()) {
    request->sampling.logprobs =
        options.processed_logprobs ? LogprobMode::kProcessed : LogprobMode::kRaw;
    request->sampling.top_logprobs = *options.top_logprobs;
  }
  const Status status =
      use_model_sampling(loaded.model->files(), *options.answer.command, request->sampling);
  if (!status.ok()) return status.error();
  const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded);
  if (!tokenizer.ok()) return tokenizer.error();
  Result<std::vector<int32_t>> prompt = options.raw
                                            ? encode_beginning(**tokenizer, text)
                                            : encode_question(**tokenizer, text, options.system);
  if (!prompt.ok()) return prompt.error();
  request->prompt = std::move(*prompt);
  Result<std::shared_ptr<const Grammar>> grammar = compile_grammar(options.grammar, **tokenizer);
  if (!grammar.ok()) return grammar.error();
  request->grammar = std::move(*grammar);
  return request;
}

int answer_request(const GenerateOptions& options, const LoadedModel& loaded, Engine& engine,
                   Request request) {
  Answer answer(*loaded.tokenizer, request);
  Output output;
  end_answer_on_signals();
  const bool stream = !options.json && request.n == 1;
  const Status ran = stream_answer(engine, std::move(request), stream, answer, output);
  if (!ran.ok()) return failed(ran.error());
  write_whole(options, loaded, engine.fingerprint(), answer, output);
  if (output.failed()) return failed(output.error());
  if (!answer.error().empty()) return failed({answer.error()});
  if (!options.quiet) std::fprintf(stderr, "\n%s\n", answer.timing_line(loaded).c_str());
  return interruption() != 0 ? 128 + interruption() : 0;
}

int generate(const GenerateOptions& options) {
  const Result<std::string> text = read_prompt(options);
  if (!text.ok()) return failed(text.error());
  const Result<LoadedModel> loaded = load_model(options.model, options.answer.threads);
  if (!loaded.ok()) return failed(loaded.error());
  Result<Request> request = make_request(options, *loaded, *text);
  if (!request.ok()) return failed(request.error());
  const Result<LoadedDrafting> drafting = load_drafting(options.answer.speculation, *loaded);
  if (!drafting.ok()) return failed(drafting.error());
  const Result<std::unique_ptr<Engine>> engine =
      Engine::create(*loaded->model, *loaded->kernels, *loaded->team,
                     engine_options(options.answer, *loaded, drafting->options));
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

void add_choices(CLI::App& command, GenerateOptions& options) {
  command.add_option("--choices", options.answer.request.n, "Answers to make of one prompt")
      ->check(from_to(1, 128))
      ->type_name("N")
      ->capture_default_str()
      ->group("Length");
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
  add_length_options(*command, options->answer, /*max_tokens=*/512);
  add_choices(*command, *options);
  add_grammar_options(*command, options->grammar);
  add_sampling_options(*command, options->answer);
  add_output_options(*command, *options);
  add_machine_options(*command, options->answer);
  command->footer(
      "A directory's generation_config.json gives the sampling that its makers advise "
      "(temperature,\n"
      "top-k, top-p, min-p, repetition penalty); a flag takes the place of its value.\n\n"
      "The answer goes to standard output, the timing line to standard error. Ctrl-C ends the\n"
      "answer, a second one the process.\n\n"
      "Examples:\n"
      "  forerun generate smollm2-135m -p \"Why is the sky blue?\"\n"
      "  forerun generate smollm2-135m -f notes.txt --system \"Summarise in one line.\" -n 60\n"
      "  forerun generate smollm2-135m -p \"A city and its country.\" --json-schema city.json\n"
      "  forerun generate smollm2-135m --raw -p \"Once upon a time\" --temperature 0.8 --seed 7\n"
      "  git diff | forerun generate smollm2-135m --json | jq -r .choices[0].text");
  command->callback([options, &exit_code] { exit_code = generate(*options); });
}

}  // namespace forerun
