#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "../apps/forerun/help_format.h"
#include "aten.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/version.h"
#include "formats/quote.h"
#include "learn.h"
#include "product_type.h"
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
  LearnOptions learn;
  int threads = usable_processors();
  ProductType products = ProductType::kAuto;
  bool rate = false;
  bool json = false;
};

// Prints reports as lines or as JSON objects, one a line.
class Printer {
 public:
  // `product_rate` of that type in operations a second; 0: not measured.
  Printer(bool json, bool bf16, double product_rate)
      : json_(json), type_(bf16 ? "bf16" : "f32"), product_rate_(product_rate) {}

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
                 {"dtype", type_},
                 {"flops_per_second", report.flops_per_second},
                 {"skipped_batches", report.skipped},
                 {"refused_records", report.refused}};
    if (report.branch_rows > 0) {
      line["branch_loss"] = report.branch_loss;
      line["branch_rows"] = report.branch_rows;
    }
    if (product_rate_ > 0.0) line["product_share"] = report.flops_per_second / product_rate_;
    return line.dump();
  }

  std::string text_line(const TrainReport& report) const {
    char text[256];
    std::snprintf(text, sizeof(text), "step %lld  loss %.4f", static_cast<long long>(report.step),
                  report.loss);
    std::string line = text;
    if (report.branch_rows > 0) {
      std::snprintf(text, sizeof(text), "  branches %.4f of %lld rows", report.branch_loss,
                    static_cast<long long>(report.branch_rows));
      line += text;
    }
    line += "  accuracy";
    for (const double accuracy : report.accuracies) {
      std::snprintf(text, sizeof(text), " %.3f", accuracy);
      line += text;
    }
    std::snprintf(text, sizeof(text), "  acceptance length %.3f  %.0f tokens/s",
                  report.acceptance_length(), report.tokens_per_second);
    line += text;
    if (product_rate_ > 0.0) {
      std::snprintf(text, sizeof(text), "  %.0f%% of %s products' rate",
                    100.0 * report.flops_per_second / product_rate_, type_);
      line += text;
    }
    if (report.skipped > 0) line += "  " + std::to_string(report.skipped) + " batches skipped";
    return line;
  }

  bool json_;
  const char* type_;  // of products
  double product_rate_;
};

int run_train(Command& command) {
  set_num_threads(command.threads);
  const bool bf16 = command.train.loss.bf16_products = uses_bf16(command.products);
  const double product_rate =
      command.rate ? measure_product_rate(bf16 ? at::kBFloat16 : at::kFloat) : 0.0;
  const Result<TrainResult> result =
      train(command.train, Printer(command.json, bf16, product_rate));
  if (!result.ok()) return failed(result.error().message);
  const RefusedRecords& refused = result->refused;
  if (refused.count > 0) {
    std::fprintf(stderr, "forerun-trainer: %lld records refused, the first: %s\n",
                 static_cast<long long>(refused.count), quote(refused.first, 400).c_str());
  }
  return 0;
}

int run_learn(Command& command) {
  set_num_threads(command.threads);
  command.learn.live.loss.bf16_products = uses_bf16(command.products);
  const Status status = learn(command.learn);
  return status.ok() ? 0 : failed(status.error().message);
}

template <typename Value, typename Check>
void add_number(CLI::App& app, const char* name, Value& value, const char* text,
                const Check& check) {
  CLI::Option* option = app.add_option(name, value, text)->check(check)->capture_default_str();
  option->type_name("N")->get_validator()->description("");
}

const CLI::Range kCount(int64_t{1}, int64_t{1} << 40);
const CLI::Range kFew(int64_t{1}, int64_t{1} << 16);

// With a slash behind it, what is beside the folder would be in it.
std::string without_slashes(std::string& path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return std::string();
}

CLI::Option* add_folder(CLI::App& app, const char* name, std::string& folder, const char* text) {
  return app.add_option(name, folder, text)
      ->transform(CLI::Validator(without_slashes, ""))
      ->type_name("DIR");
}

void add_training_options(CLI::App& app, TrainingOptions& training, Command& command) {
  add_folder(app, "--init", training.init, "Folder of an EAGLE-3 head to begin with");
  add_number(app, "--batch", training.batch, "Records in a step", kFew);
  add_number(app, "--window", training.window, "Positions of a record, the newest", kFew);
  add_number(app, "--unroll", training.loss.steps, "Steps that the head is unrolled",
             CLI::Range(1, 16));
  add_number(app, "--lr", training.adam.learning_rate, "Learning rate", CLI::PositiveNumber);
  add_number(app, "--warmup", training.adam.warmup_steps, "Steps to the full rate",
             CLI::NonNegativeNumber);
  add_number(app, "--averaged-steps", training.adam.averaged_steps,
             "Most updates that parameters are averaged over; 1: none", kFew);
  const std::map<std::string, LossKind> kinds = {
      {"kl", LossKind::kKl}, {"rkl", LossKind::kReverseKl}, {"lk", LossKind::kAcceptance}};
  app.add_option("--loss", training.loss.kind,
                 "kl: forward; rkl: reverse; lk: -log of the chance to be accepted")
      ->transform(CLI::CheckedTransformer(kinds).description(""))
      ->type_name("KIND")
      ->default_str("kl");
  add_number(app, "--discard", training.loss.discard,
             "Weight of tokens drafted in vain; 0: they are not looked at", CLI::Range(0.0, 10.0));
  add_number(app, "--draft-vocab", training.draft_vocab, "Tokens a new head has logits of", kCount);
  app.add_flag("--freeze-output", training.freeze_output, "Keep the output matrix as it is");
  add_number(app, "--threads", command.threads, "Threads", CLI::Range(1, 1024));
  const std::map<std::string, ProductType> types = {
      {"auto", ProductType::kAuto}, {"f32", ProductType::kF32}, {"bf16", ProductType::kBf16}};
  app.add_option("--dtype", command.products,
                 "Of matrix products; auto: bf16 where that is faster, else f32")
      ->transform(CLI::CheckedTransformer(types).description(""))
      ->type_name("TYPE")
      ->default_str("auto");
  add_number(app, "--seed", training.seed, "Of all that is random", CLI::NonNegativeNumber);
}

void add_train(CLI::App& program, Command& command) {
  CLI::App& app = *program.add_subcommand("train", "Train a head and write it as a folder");
  TrainOptions& train = command.train;
  add_folder(app, "--traces", train.traces, "Folder of records and their target")->required();
  add_folder(app, "--out", train.out, "Folder of the head; what --resume reads lies beside it")
      ->required();
  app.add_flag("--resume", train.resume, "Go on from what the last run saved, if it saved any");
  add_number(app, "--steps", train.steps,
             "Most updates, resumed ones included; 0: what the epochs give",
             CLI::NonNegativeNumber);
  add_number(app, "--epochs", train.epochs, "Passes over the records", kCount);
  add_training_options(app, train, command);
  add_number(app, "--save-every", train.save_every, "Steps between saves", kCount);
  add_number(app, "--report-every", train.report_every, "Steps between lines", kCount);
  app.add_flag("--rate", command.rate, "Measure a matrix product and tell the share of its rate");
  app.add_flag("--json", command.json, "A JSON object per line");
}

void add_learn(CLI::App& program, Command& command) {
  CLI::App& app =
      *program.add_subcommand("learn", "Train on records while they come; serve --learn runs this");
  LearnOptions& learn = command.learn;
  LiveOptions& live = learn.live;
  app.add_option("--ring", learn.ring, "Descriptor of the ring that records come through")
      ->required()
      ->type_name("FD");
  add_folder(app, "--target", learn.target, "Folder of the target")->required();
  add_folder(app, "--out", live.out, "Folder of the state and the candidates")->required();
  add_training_options(app, live, command);
  add_number(app, "--cadence", live.cadence, "New records between candidates", kCount);
  add_number(app, "--vocab-records", live.vocab_records, "Records that choose the first vocabulary",
             kCount);
  add_number(app, "--reuse", live.reuse, "Times that a record is trained on, on average",
             CLI::Range(0.01, 1000.0));
  add_number(app, "--fresh-share", live.fresh_share, "Share of a batch that is new",
             CLI::Range(0.0, 1.0));
  add_number(app, "--recent-share", live.recent_share, "Share of its others that came of late",
             CLI::Range(0.0, 1.0));
  add_number(app, "--keep-bytes", live.keep_bytes, "Memory for records to train on", kCount);
  app.add_flag("--idle", learn.is_idle, "Run only when nothing else wants the processors");
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Trains EAGLE-3 heads from the records of served requests.", "forerun-trainer");
  app.set_version_flag("--version", "forerun-trainer " + std::string(kVersion));
  app.require_subcommand(1);
  app.formatter(std::make_shared<HelpFormat>());
  Command command;
  add_train(app, command);
  add_learn(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return kUsageError;
  }
  return app.got_subcommand("train") ? run_train(command) : run_learn(command);
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

// Tensors of a step are as large as those of the one before. Memory that goes back to the system in
// between would come again page by page, zeroed.
void keep_memory() {
  constexpr int kLargestThreshold = 32 << 20;  // that the library takes
  mallopt(M_MMAP_THRESHOLD, kLargestThreshold);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
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
  forerun::keep_memory();
  return forerun::run(argc, argv);
}
