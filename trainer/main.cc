#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <string>

#include "../apps/forerun/help_format.h"
#include "aten.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/version.h"
#include "formats/quote.h"
#include "threads.h"
#include "train.h"

namespace forerun {
namespace {

constexpr int kUsageError = 2;

int failed(const std::string& sentence) {
  // Names from files may stand in the sentence, and a terminal obeys control characters.
  const std::string quoted = quote(sentence, std::string::npos);
  std::fprintf(stderr, "forerun-trainer: %s\n", quoted.substr(1, quoted.size() - 2).c_str());
  return 1;
}

struct Command {
  TrainOptions train;
  int threads = usable_processors();
  bool rate = false;
  bool json = false;
};

// Prints reports as lines or as JSON objects, one a line.
class Printer {
 public:
  // `product_rate` in operations a second; 0: not measured.
  Printer(bool json, double product_rate) : json_(json), product_rate_(product_rate) {}

  void operator()(const TrainReport& report) const {
    const std::string line = json_ ? json_line(report) : text_line(report);
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

 private:
  std::string json_line(const TrainReport& report) const {
    Json line = {{"step", report.step},
                 {"loss", report.loss},
                 {"accuracies", report.accuracies},
                 {"acceptance_length", report.acceptance_length()},
                 {"tokens_per_second", report.tokens_per_second},
                 {"flops_per_second", report.flops_per_second},
                 {"skipped_batches", report.skipped},
                 {"refused_records", report.refused}};
    if (product_rate_ > 0.0) line["product_share"] = report.flops_per_second / product_rate_;
    return line.dump();
  }

  std::string text_line(const TrainReport& report) const {
    char text[256];
    std::snprintf(text, sizeof(text), "step %lld  loss %.4f  accuracy",
                  static_cast<long long>(report.step), report.loss);
    std::string line = text;
    for (const double accuracy : report.accuracies) {
      std::snprintf(text, sizeof(text), " %.3f", accuracy);
      line += text;
    }
    std::snprintf(text, sizeof(text), "  acceptance length %.3f  %.0f tokens/s",
                  report.acceptance_length(), report.tokens_per_second);
    line += text;
    if (product_rate_ > 0.0) {
      std::snprintf(text, sizeof(text), "  %.0f%% of the products' rate",
                    100.0 * report.flops_per_second / product_rate_);
      line += text;
    }
    if (report.skipped > 0) line += "  " + std::to_string(report.skipped) + " batches skipped";
    return line;
  }

  bool json_;
  double product_rate_;
};

int run_train(const Command& command) {
  set_num_threads(command.threads);
  const double product_rate = command.rate ? measure_product_rate() : 0.0;
  const Result<TrainResult> result = train(command.train, Printer(command.json, product_rate));
  if (!result.ok()) return failed(result.error().message);
  const RefusedRecords& refused = result->refused;
  if (refused.count > 0) {
    std::fprintf(stderr, "forerun-trainer: %lld records refused, the first: %s\n",
                 static_cast<long long>(refused.count), quote(refused.first, 400).c_str());
  }
  return 0;
}

void add_options(CLI::App& app, Command& command) {
  TrainOptions& train = command.train;
  app.add_option("--traces", train.traces, "Folder of records and their target")
      ->required()
      ->type_name("DIR");
  // With a slash behind it, what is beside the folder would be in it.
  const CLI::Validator bare(
      [](std::string& path) {
        while (path.size() > 1 && path.back() == '/') path.pop_back();
        return std::string();
      },
      "");
  app.add_option("--out", train.out, "Folder of the head; what --resume reads lies beside it")
      ->required()
      ->transform(bare)
      ->type_name("DIR");
  app.add_option("--init", train.init, "Folder of an EAGLE-3 head to begin with")->type_name("DIR");
  app.add_flag("--resume", train.resume, "Go on from what the last run saved, if it saved any");
  const auto add = [&](const char* name, auto& value, const char* text, const auto& check) {
    CLI::Option* option = app.add_option(name, value, text)->check(check)->capture_default_str();
    option->type_name("N")->get_validator()->description("");
  };
  const CLI::Range count(int64_t{1}, int64_t{1} << 40);
  const CLI::Range few(int64_t{1}, int64_t{1} << 16);
  add("--steps", train.steps, "Most updates, resumed ones included; 0: what the epochs give",
      CLI::NonNegativeNumber);
  add("--epochs", train.epochs, "Passes over the records", count);
  add("--batch", train.batch, "Records in a step", few);
  add("--window", train.window, "Positions of a record, the newest", few);
  add("--unroll", train.loss.steps, "Steps that the head is unrolled", CLI::Range(1, 16));
  add("--lr", train.adam.learning_rate, "Learning rate", CLI::PositiveNumber);
  add("--warmup", train.adam.warmup_steps, "Steps to the full rate", CLI::NonNegativeNumber);
  const std::map<std::string, LossKind> kinds = {
      {"kl", LossKind::kKl}, {"rkl", LossKind::kReverseKl}, {"lk", LossKind::kAcceptance}};
  app.add_option("--loss", train.loss.kind,
                 "kl: forward; rkl: reverse; lk: -log of the chance to be accepted")
      ->transform(CLI::CheckedTransformer(kinds).description(""))
      ->type_name("KIND")
      ->default_str("kl");
  add("--draft-vocab", train.draft_vocab, "Tokens a new head has logits of", count);
  app.add_flag("--freeze-output", train.freeze_output, "Keep the output matrix as it is");
  add("--threads", command.threads, "Threads", CLI::Range(1, 1024));
  add("--seed", train.seed, "Of a new head's weights", CLI::NonNegativeNumber);
  add("--save-every", train.save_every, "Steps between saves", count);
  add("--report-every", train.report_every, "Steps between lines", count);
  app.add_flag("--rate", command.rate, "Measure a matrix product and tell the share of its rate");
  app.add_flag("--json", command.json, "A JSON object per line");
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Trains EAGLE-3 heads from the records of served requests.", "forerun-trainer");
  app.set_version_flag("--version", "forerun-trainer " + std::string(kVersion));
  app.require_subcommand(1);
  app.formatter(std::make_shared<HelpFormat>());
  Command command;
  CLI::App* train = app.add_subcommand("train", "Train a head and write it as a folder");
  add_options(*train, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return kUsageError;
  }
  return run_train(command);
}

// Libraries may throw; the one place where that would end the process without a sentence.
int run(int argc, char** argv) noexcept {
  try {
    return parse_and_run(argc, argv);
  } catch (const c10::Error& error) {
    return failed(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return failed(error.what());
  }
}

// Between its operations OpenMP's threads spin in the way of OpenBLAS's, unless they are told to
// sleep before the library is loaded.
void let_threads_sleep(char** argv) {
  constexpr char kPolicy[] = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr) return;
  setenv(kPolicy, "passive", /*overwrite=*/1);
  execv("/proc/self/exe", argv);  // where it fails, they spin
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  forerun::let_threads_sleep(argv);
  return forerun::run(argc, argv);
}
