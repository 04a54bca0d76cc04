#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "bench.h"
#include "commands.h"
#include "loaded_model.h"
#include "models/decoder.h"
#include "progress_line.h"

namespace forerun {
namespace {

struct PerplexityOptions {
  std::string model;
  std::string text;
  int64_t window = 512;
  int64_t windows = 0;
  int threads = 0;
  bool json = false;
};

// Rows whose logits are computed in one step.
constexpr int64_t kStepRows = 64;

// −ln softmax(logits)[token], in double.
double surprise(const float* logits, int64_t vocab_size, int32_t token) {
  float largest = logits[0];
  for (int64_t i = 1; i < vocab_size; ++i) largest = std::max(largest, logits[i]);
  double sum = 0.0;
  for (int64_t i = 0; i < vocab_size; ++i) sum += std::exp(static_cast<double>(logits[i] - largest));
  return std::log(sum) - static_cast<double>(logits[token] - largest);
}

// Windows of `window` tokens that do not overlap; in each, the predictions from its second half,
// what llama.cpp's llama-perplexity scores, so that the two numbers can be held side by side.
class PerplexityRun {
 public:
  PerplexityRun(const LoadedModel& loaded, int64_t window)
      : vocab_size_(loaded.model->descriptor().vocab_size),
        window_(window),
        team_(*loaded.team),
        decoder_(loaded.model->descriptor(), loaded.model->weights(), *loaded.kernels, *loaded.team,
                 {.max_rows = static_cast<int>(std::max(kStepRows, window / 2)),
                  .max_logit_rows = kStepRows}),
        pool_({loaded.model->descriptor().num_layers, loaded.model->descriptor().num_kv_heads,
               loaded.model->descriptor().head_dim, {}},
              static_cast<int>(window / kPageTokens + 1)),
        pages_(pool_.num_pages()) {
    std::iota(pages_.begin(), pages_.end(), 0);
  }

  // `tokens`: one window.
  void score(std::span<const int32_t> tokens) {
    const int64_t first = window_ / 2;
    step(tokens, 0, first, /*scored=*/false);
    for (int64_t begin = first; begin < window_ - 1; begin += kStepRows) {
      step(tokens, begin, std::min(window_ - 1, begin + kStepRows), /*scored=*/true);
    }
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
    if (!scored) return;
    std::vector<double> surprises(rows);
    team_.run([&](int member) {
      const Range mine = share_of(rows, member, team_.size());
      for (int64_t i = mine.begin; i < mine.end; ++i) {
        surprises[i] = surprise(decoder_.logits(i), vocab_size_, tokens[begin + i + 1]);
      }
    });
    for (const double s : surprises) total_ += s;
    count_ += rows;
  }

  const int64_t vocab_size_;
  const int64_t window_;
  Team& team_;
  Decoder decoder_;
  KvPool pool_;
  std::vector<int32_t> pages_;
  double total_ = 0.0;
  int64_t count_ = 0;
};

Result<std::vector<int32_t>> read_tokens(const LoadedModel& loaded, const std::string& path) {
  const Result<const Tokenizer*> tokenizer = need_tokenizer(loaded);
  if (!tokenizer.ok()) return tokenizer.error();
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (text.ends_with('\n')) text.remove_suffix(1);
  return (*tokenizer)->encode(text, /*add_special=*/true, /*parse_special=*/false);
}

int perplexity(const PerplexityOptions& options) {
  Result<LoadedModel> loaded = load_model(options.model, options.threads);
  if (!loaded.ok()) return failed(loaded.error());
  const ModelDescriptor& model = loaded->model->descriptor();
  if (options.window > model.context_length) {
    return failed({"window is " + std::to_string(options.window) + "; the model's context is " +
                   std::to_string(model.context_length) + " tokens"});
  }
  Result<std::vector<int32_t>> tokens = read_tokens(*loaded, options.text);
  if (!tokens.ok()) return failed(tokens.error());
  int64_t windows = static_cast<int64_t>(tokens->size()) / options.window;
  if (windows == 0) {
    return failed({options.text + " has " + std::to_string(tokens->size()) +
                   " tokens; one window takes " + std::to_string(options.window)});
  }
  if (options.windows > 0) windows = std::min(windows, options.windows);

  PerplexityRun run(*loaded, options.window);
  ProgressLine line("scoring", static_cast<uint64_t>(windows));
  const double begin = now_seconds();
  for (int64_t w = 0; w < windows; ++w) {
    std::span<int32_t> window(tokens->data() + w * options.window, options.window);
    // Every window starts as a text does.
    const bool has_bos = tokens->front() == loaded->tokenizer->bos_id() &&
                         loaded->tokenizer->bos_id() != kNoToken && w > 0;
    if (has_bos) window[0] = tokens->front();
    run.score(window);
    line.update(static_cast<uint64_t>(w + 1));
  }
  line.end();
  const double seconds = now_seconds() - begin;
  if (options.json) {
    const Json json = {{"perplexity", run.perplexity()},
                       {"window", options.window},
                       {"windows", windows},
                       {"tokens", run.count()},
                       {"seconds", seconds},
                       {"isa", loaded->kernels->name}};
    std::puts(json.dump(2).c_str());
  } else {
    std::printf("perplexity %.4f over %lld tokens (%lld windows of %lld) in %.1f s, %s\n",
                run.perplexity(), static_cast<long long>(run.count()),
                static_cast<long long>(windows), static_cast<long long>(options.window), seconds,
                std::string(loaded->kernels->name).c_str());
  }
  return 0;
}

}  // namespace

void add_bench_perplexity(CLI::App& bench, int& exit_code) {
  const auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command =
      bench.add_subcommand("perplexity", "How well a model predicts a text, as llama.cpp scores it");
  command->add_option("MODEL", options->model, "A short name, or a GGUF file")->required();
  command->add_option("--text", options->text, "The text")->required()->type_name("FILE");
  command->add_option("--window", options->window, "Tokens a window; its second half is scored")
      ->check(CLI::Range(4, 1 << 20))
      ->capture_default_str();
  command->add_option("--windows", options->windows, "Only the first of them; 0: all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--threads", options->threads, "0: every usable processor")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options, &exit_code] { exit_code = perplexity(*options); });
}

}  // namespace forerun
