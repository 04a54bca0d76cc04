#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "bench.h"
#include "commands.h"
#include "loaded_model.h"
#include "model_options.h"
#include "models/decoder.h"
#include "progress_line.h"
#include "sampling/logprobs.h"
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

// Rows of a step that is only read, and of one whose logits are computed.
constexpr int64_t kReadRows = 512;
constexpr int64_t kStepRows = 64;
constexpr size_t kMostTextBytes = 256'000'000;

// Windows of `window` tokens that do not overlap; in each, the predictions from its second half,
// what llama.cpp's llama-perplexity scores, so that the two numbers can be held side by side.
class PerplexityRun {
 public:
  PerplexityRun(const LoadedModel& loaded, int64_t window, KvType kv_type)
      : vocab_size_(loaded.model->descriptor().vocab_size),
        window_(window),
        team_(*loaded.team),
        decoder_(loaded.model->descriptor(), loaded.model->weights(), *loaded.kernels, *loaded.team,
                 {.max_rows = kReadRows, .max_logit_rows = kStepRows}),
        pool_(kv_shape(loaded.model->descriptor(), kv_type),
              static_cast<int>(window / kPageTokens + 1)),
        pages_(pool_.num_pages()),
        surprises_(kStepRows) {
    std::iota(pages_.begin(), pages_.end(), 0);
    for (int member = 0; member < team_.size(); ++member) {
      workspaces_.push_back(
          std::make_unique<SamplerWorkspace>(static_cast<int>(vocab_size_), loaded.kernels->isa));
    }
  }

  // `tokens`: one window. An Error when the model gives logits that are no numbers.
  Status score(std::span<const int32_t> tokens) {
    const int64_t first = window_ / 2;
    for (int64_t begin = 0; begin < first; begin += kReadRows) {
      step(tokens, begin, std::min(first, begin + kReadRows), /*scored=*/false);
    }
    for (int64_t begin = first; begin < window_ - 1; begin += kStepRows) {
      const int64_t end = std::min(window_ - 1, begin + kStepRows);
      step(tokens, begin, end, /*scored=*/true);
      if (Status status = add_up(tokens.subspan(begin + 1, end - begin)); !status.ok()) {
        return status;
      }
    }
    return {};
  }

  double perplexity() const { return std::exp(total_ / static_cast<double>(count_)); }
  int64_t count() const { return count_; }

 private:
  void step(std::span<const int32_t> tokens, int64_t begin, int64_t end, bool scored) {
    const auto rows = static_cast<int>(end - begin);
    const RowGroup group{rows, begin, pages_, nullptr};
    std::vector<int32_t> logit_rows(scored ? rows : 0);
    std::iota(logit_rows.begin(), logit_rows.end(), 0);
    decoder_.step({tokens.subspan(begin, rows), {&group, 1}, logit_rows, nullptr}, pool_);
  }

  // Adds −ln softmax(logits)[next] of each row of the last step, in order.
  Status add_up(std::span<const int32_t> next) {
    const auto rows = static_cast<int64_t>(next.size());
    team_.run([&](int member) {
      const Range mine = share_of(rows, member, team_.size());
      for (int64_t i = mine.begin; i < mine.end; ++i) {
        surprises_[i] = surprise(i, next[i], *workspaces_[member]);
      }
    });
    for (int64_t i = 0; i < rows; ++i) total_ += surprises_[i];
    count_ += rows;
    if (std::isfinite(total_)) return {};
    return Error{"the model gives logits that are not numbers"};
  }

  double surprise(int64_t row, int32_t next, SamplerWorkspace& workspace) {
    const std::span<const float> logits(decoder_.logits(row), static_cast<size_t>(vocab_size_));
    const Result<Distribution> distribution = raw_distribution(logits, workspace);
    if (!distribution.ok()) return std::numeric_limits<double>::quiet_NaN();
    return -logprobs_of(*distribution, next, {}, workspace).chosen;
  }

  const int64_t vocab_size_;
  const int64_t window_;
  Team& team_;
  Decoder decoder_;
  KvPool pool_;
  std::vector<int32_t> pages_;
  std::vector<double> surprises_;                              // [kStepRows]
  std::vector<std::unique_ptr<SamplerWorkspace>> workspaces_;  // one a team member
  double total_ = 0.0;
  int64_t count_ = 0;
};

Result<std::vector<int32_t>> read_tokens(const LoadedModel& loaded, const std::string& path) {
  const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded);
  if (!tokenizer.ok()) return tokenizer.error();
  const Result<std::string> text = read_text(path, kMostTextBytes);
  if (!text.ok()) return text.error();
  return (*tokenizer)->encode(*text, /*add_special=*/true, /*parse_special=*/false);
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
  PerplexityRun run(*loaded, options.window, kv_type);
  ProgressLine line("scoring", static_cast<uint64_t>(windows), "windows");
  const double begin = now_seconds();
  for (int64_t w = 0; w < windows; ++w) {
    std::span<int32_t> window(tokens->data() + w * options.window, options.window);
    // Every window starts as a text does.
    const bool has_bos = tokens->front() == loaded->tokenizer->bos_id() &&
                         loaded->tokenizer->bos_id() != kNoToken && w > 0;
    if (has_bos) window[0] = tokens->front();
    if (const Status status = run.score(window); !status.ok()) {
      line.end();
      return failed(status.error());
    }
    char note[32];
    std::snprintf(note, sizeof(note), "perplexity %.3f", run.perplexity());
    line.update(static_cast<uint64_t>(w + 1), note);
  }
  line.end();
  const double seconds = now_seconds() - begin;
  if (options.json) {
    const Json json = {{"perplexity", run.perplexity()},
                       {"window", options.window},
                       {"windows", windows},
                       {"tokens", run.count()},
                       {"model", model.name},
                       {"seconds", seconds},
                       {"isa", loaded->kernels->name},
                       {"kv_type", kv_type_name(kv_type)}};
    std::puts(json.dump(2).c_str());
  } else {
    std::printf(
        "perplexity %.4f over %lld tokens (%lld windows of %lld) in %.1f s, %s, "
        "keys and values %s\n",
        run.perplexity(), static_cast<long long>(run.count()), static_cast<long long>(windows),
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
