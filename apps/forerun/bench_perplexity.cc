#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "bench.h"
#include "commands.h"
#include "loaded_model.h"
#include "model_options.h"
#include "progress_line.h"
#include "prompt_scores.h"
#include "text_input.h"

namespace forerun {
namespace {

struct PerplexityOptions {
  std::string model;
  std::string text;
  int64_t window = 512;
  int64_t windows = 0;
  int threads = 0;
  std::optional<KvType> kv_type;
  bool json = false;
};

constexpr size_t kMostTextBytes = 256'000'000;

Result<std::vector<int32_t>> read_tokens(const LoadedModel& loaded, const std::string& path) {
  const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded);
  if (!tokenizer.ok()) return tokenizer.error();
  const Result<std::string> text = read_text(path, kMostTextBytes);
  if (!text.ok()) return text.error();
  return (*tokenizer)->encode(*text, /*add_special=*/true, /*parse_special=*/false);
}

// Position of the first token scored, and how many there are: the second half of a window, but for
// its first token.
int64_t first_scored(int64_t window) {
  return window / 2 + 1;
}
int64_t scored_tokens(int64_t window) {
  return window - first_scored(window);
}

// Windows that do not overlap; in each, the predictions from its second half, what llama.cpp's
// llama-perplexity scores, so that the two numbers can be held side by side.
Result<double> score_windows(Engine& engine, const LoadedModel& loaded,
                             const std::vector<int32_t>& tokens, int64_t windows, int64_t window) {
  const int32_t bos = loaded.tokenizer->bos_id();
  std::vector<double> logprobs(windows);
  double so_far = 0.0;
  int64_t num_done = 0;
  ProgressLine line("scoring", static_cast<uint64_t>(windows), "windows");
  const auto perplexity = [&](double logprob, int64_t num_windows) {
    return std::exp(-logprob / static_cast<double>(num_windows * scored_tokens(window)));
  };
  const Status status = score_texts(
      engine, windows, /*tell_greedy=*/false,
      [&](int64_t i) {
        const auto begin = tokens.begin() + i * window;
        TextToScore text{{begin, begin + window}, first_scored(window)};
        // Every window starts as the text does.
        if (bos != kNoToken && tokens.front() == bos) text.tokens[0] = bos;
        return text;
      },
      [&](int64_t i, const TextScore& score) {
        logprobs[i] = score.logprob;
        so_far += score.logprob;
        char note[32];
        std::snprintf(note, sizeof(note), "perplexity %.3f", perplexity(so_far, ++num_done));
        line.update(static_cast<uint64_t>(num_done), note);
      });
  line.end();
  if (!status.ok()) return status.error();
  return perplexity(std::accumulate(logprobs.begin(), logprobs.end(), 0.0), windows);
}

int perplexity(const PerplexityOptions& options) {
  Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const ModelDescriptor& model = loaded->model->descriptor();
  if (options.window > model.context_length) {
    return failed({"--window is " + std::to_string(options.window) + "; the model's context is " +
                   std::to_string(model.context_length) + " tokens"});
  }
  Result<std::vector<int32_t>> tokens = read_tokens(*loaded, options.text);
  if (!tokens.ok()) return failed(tokens.error());
  int64_t windows = static_cast<int64_t>(tokens->size()) / options.window;
  if (windows == 0) {
    return failed({options.text + " has " + std::to_string(tokens->size()) +
                   " tokens; one window takes " + std::to_string(options.window) +
                   " (give more text, or a smaller --window)"});
  }
  if (options.windows > 0) windows = std::min(windows, options.windows);

  const KvType kv_type = options.kv_type.value_or(loaded->kernels->kv_type);
  EngineOptions engine_options = loaded->engine_options();
  engine_options.kv_type = kv_type;
  const Result<std::unique_ptr<Engine>> engine =
      Engine::create(*loaded->model, *loaded->kernels, *loaded->team, std::move(engine_options));
  if (!engine.ok()) return failed(engine.error());
  const double begin = now_seconds();
  const Result<double> perplexity =
      score_windows(**engine, *loaded, *tokens, windows, options.window);
  if (!perplexity.ok()) return failed(perplexity.error());
  const double seconds = now_seconds() - begin;
  const int64_t num_scored = windows * scored_tokens(options.window);
  if (options.json) {
    const Json json = {{"perplexity", *perplexity},    {"window", options.window},
                       {"windows", windows},           {"tokens", num_scored},
                       {"model", model.name},          {"seconds", seconds},
                       {"isa", loaded->kernels->name}, {"kv_type", kv_type_name(kv_type)}};
    std::puts(json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf(
        "perplexity %.4f over %lld tokens (%lld windows of %lld) in %.1f s, %s, "
        "keys and values %s\n",
        *perplexity, static_cast<long long>(num_scored), static_cast<long long>(windows),
        static_cast<long long>(options.window), seconds, std::string(loaded->kernels->name).c_str(),
        std::string(kv_type_name(kv_type)).c_str());
  }
  return 0;
}

}  // namespace

void add_bench_perplexity(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command = bench.add_subcommand(
      "perplexity", "How well a model predicts a text, as llama.cpp scores it");
  add_model(*command, options->model);
  command->add_option("--text", options->text, "The text; - is standard input")
      ->required()
      ->type_name("FILE");
  command->add_option("--window", options->window, "Tokens a window; its second half is scored")
      ->check(from_to<int64_t>(4, 1 << 20))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--windows", options->windows, "Only the first N of them; 0: all")
      ->check(from_to<int64_t>(0, int64_t{1} << 40))
      ->type_name("N")
      ->capture_default_str();
  add_threads(*command, options->threads);
  add_kv_type(*command, options->kv_type);
  add_json(*command, options->json);
  command->footer(
      "The text is cut into windows that do not overlap, each read from an empty cache; in each\n"
      "the predictions from its second half count, as in llama.cpp's llama-perplexity.\n\n"
      "Example:\n"
      "  forerun bench perplexity smollm2-135m --text wiki.valid.raw --json");
  command->callback([options, &exit_code] { exit_code = perplexity(*options); });
}

}  // namespace forerun
