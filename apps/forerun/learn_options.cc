#include "learn_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "learning_folder.h"
#include "model_options.h"
#include "speculation_options.h"
#include "trainer_program.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr char kAuto[] = "auto";
constexpr double kMostShare = 0.9;

bool keeps_processors(const LearnOptions& options) {
  return options.share.value_or(0.0) > 0.0;
}

int learning_threads(const LearnOptions& options) {
  const int all = usable_processors();
  if (!keeps_processors(options)) return std::max(1, all / 2);
  return std::clamp(static_cast<int>(std::lround(*options.share * all)), 1, std::max(1, all - 1));
}

// None: it is no number that may be a share.
std::optional<double> parse_share(const std::string& text) {
  double share = 0.0;
  const char* end = text.data() + text.size();
  const auto [stopped, fault] = std::from_chars(text.data(), end, share);
  if (fault != std::errc() || stopped != end || !(share >= 0.0 && share <= kMostShare)) return {};
  return share;
}

std::string check_share(const std::string& text) {
  if (text == kAuto || parse_share(text)) return {};
  return "'" + text + "' is neither auto nor a number from 0 to 0.9";
}

void add_share(CLI::App& command, LearnOptions& options, const char* group) {
  std::ostringstream shown;
  if (options.share) shown << *options.share;
  command
      .add_option_function<std::string>(
          "--learn-share",
          [&options](const std::string& text) { options.share = parse_share(text); },
          "Of the processors; auto: as long as it pays, 0: what is left over")
      ->check(CLI::Validator(check_share, ""))
      ->type_name("SHARE")
      ->default_str(options.share ? shown.str() : kAuto)
      ->group(group);
}

// Where nobody has said how much: as long as the engine has no processors left over anyway.
void let_decide(const LearnOptions& options, int engine_threads, LearnerOptions& made) {
  made.engine_threads = engine_threads;
  made.idle_threads = learning_threads(options);
  const bool is_whole = engine_threads >= usable_processors();
  if (!options.share && is_whole) made.spare_threads = spare_threads(engine_threads);
}

// So that reading it gives the same number.
std::string exactly(double value) {
  return Json(value).dump();
}

std::vector<std::string> trainer_arguments(const LearnOptions& options, const TraceOptions& trace) {
  std::vector<std::string> arguments = {"--threads",     std::to_string(learning_threads(options)),
                                        "--cadence",     std::to_string(options.cadence),
                                        "--draft-vocab", std::to_string(options.draft_vocab),
                                        "--reuse",       exactly(options.reuse),
                                        "--unroll",      std::to_string(options.unroll),
                                        "--lr",          exactly(options.learning_rate),
                                        "--window",      std::to_string(trace.max_positions)};
  if (!keeps_processors(options)) arguments.emplace_back("--idle");
  if (!options.remembers) arguments.insert(arguments.end(), {"--recent-share", "1"});
  if (options.discard > 0.0) {
    arguments.insert(arguments.end(), {"--discard", exactly(options.discard)});
  }
  return arguments;
}

Result<LearnerOptions> learner_options(const LearnOptions& options, const TraceOptions& trace,
                                       const std::string& model_argument,
                                       const LoadedModel& loaded) {
  LearnerOptions made;
  Result<std::string> folder =
      options.folder.empty() ? learning_folder(model_argument) : options.folder;
  if (!folder.ok()) return folder.error();
  made.folder = *std::move(folder);
  std::error_code ignored;  // a folder that cannot be made is told by who opens it
  fs::create_directories(fs::path(made.folder).parent_path(), ignored);
  made.trains = options.trains;
  made.recalls = options.remembers;
  made.idle = !keeps_processors(options);
  if (!made.idle) made.kept_threads = learning_threads(options);
  made.reuse = options.reuse;
  made.draft_vocab = options.draft_vocab;
  made.cadence = options.cadence;
  let_decide(options, loaded.team->size(), made);
  if (options.trains) {
    Result<std::string> trainer = find_trainer(options.trainer, "--learn");
    if (!trainer.ok()) return trainer.error();
    made.trainer = *std::move(trainer);
  }
  made.trainer_arguments = trainer_arguments(options, trace);
  made.rate = trace.rate;
  made.max_positions = trace.max_positions;
  // Files may be trained on otherwise later.
  made.keeps_branches = options.discard > 0.0 || !trace.folder.empty();
  if (trace.folder.empty()) return made;
  Result<TraceFileWriter> writer = open_traces(trace, *loaded.model);
  if (!writer.ok()) return writer.error();
  made.spill.emplace(*std::move(writer));
  return made;
}

// A head that somebody brings: the first one of a store that has none.
Status take_first_head(const std::string& folder, const Model& target, const std::string& head) {
  Team team(1);
  const auto loaded = Eagle3Head::load(head, target, team);
  if (!loaded.ok()) return loaded.error();
  Result<HeadStore> store = HeadStore::open(folder, target.weights().fingerprint);
  if (!store.ok()) return store.error();
  const Result<int64_t> current = store->current();
  if (!current.ok()) return current.error();
  if (*current != 0) return {};
  const Result<int64_t> version = store->import_head(head);
  if (!version.ok()) return version.error();
  return store->activate(*version);
}

}  // namespace

void add_learn_options(CLI::App& command, LearnOptions& options) {
  constexpr char kLearning[] = "Learning";
  command.add_flag("--learn", options.on, "Train a head on what is answered, and draft with it")
      ->group(kLearning);
  command
      .add_option("--learn-dir", options.folder,
                  "For heads, events and training's state; else beside the models")
      ->type_name("FOLDER")
      ->group(kLearning);
  add_share(command, options, kLearning);
  add_count(command, "--learn-cadence", options.cadence, 8, 1'000'000,
            "New answers from a candidate to the next")
      ->group(kLearning);
  add_count(command, "--learn-vocabulary", options.draft_vocab, 32, 1'000'000,
            "Tokens that a new head can draft: the most frequent ones")
      ->group(kLearning);
  command.add_option("--learn-reuse", options.reuse, "Times an answer is trained on, in the mean")
      ->check(CLI::Range(0.1, 100.0).description(""))
      ->type_name("X")
      ->capture_default_str()
      ->group(kLearning);
  add_count(command, "--learn-unroll", options.unroll, 1, 16,
            "Tokens ahead that the head is trained for")
      ->group(kLearning);
  command.add_option("--learn-rate", options.learning_rate, "Learning rate of the head's training")
      ->check(CLI::Range(1e-7, 1.0).description(""))
      ->type_name("X")
      ->capture_default_str()
      ->group(kLearning);
  command
      .add_option("--learn-discard", options.discard,
                  "Weight of tokens drafted in vain in training; 0: none")
      ->check(CLI::Range(0.0, 10.0).description(""))
      ->type_name("X")
      ->capture_default_str()
      ->group(kLearning);
  command.add_option("--trainer", options.trainer, "forerun-trainer; else the one beside forerun")
      ->type_name("FILE")
      ->group(kLearning);
}

int serving_threads(const LearnOptions& options, int threads) {
  if (threads != 0 || !options.on || !keeps_processors(options)) return threads;
  return std::max(1, usable_processors() - learning_threads(options));
}

Result<std::unique_ptr<Learner>> learn_to_draft(const LearnOptions& options,
                                                const TraceOptions& trace,
                                                const std::string& model_argument,
                                                const std::string& speculation,
                                                const LoadedModel& loaded, EngineOptions& engine) {
  const Result<SpeculationKind> kind = parse_speculation(speculation);
  if (!kind.ok()) return kind.error();
  if (!kind->options.on()) return Error{"--learn has nobody to learn for with --speculation off"};
  if (!kind->draft_model.empty()) return Error{"--learn and a draft model do not go together"};
  engine.speculation = kind->options;
  Result<LearnerOptions> made = learner_options(options, trace, model_argument, loaded);
  if (!made.ok()) return made.error();
  const std::string& first = kind->eagle3.empty() ? options.first_head : kind->eagle3;
  if (!first.empty()) {
    Status status = take_first_head(made->folder, *loaded.model, first);
    if (!status.ok()) return status.error();
  }
  return Learner::create(*std::move(made), *loaded.model, *loaded.kernels, engine);
}

}  // namespace forerun
