#include "learn_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "learning_folder.h"
#include "model_options.h"
#include "speculation_options.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr char kTrainer[] = "forerun-trainer";

int learning_threads(const LearnOptions& options) {
  const int all = usable_processors();
  if (options.share == 0.0) return std::max(1, all / 2);
  return std::clamp(static_cast<int>(std::lround(options.share * all)), 1, std::max(1, all - 1));
}

bool can_run(const fs::path& path) {
  return access(path.c_str(), X_OK) == 0 && !fs::is_directory(path);
}

// Beside this program, in the build tree, or in PATH.
std::optional<std::string> look_for_trainer() {
  std::error_code failure;
  const fs::path own = fs::read_symlink("/proc/self/exe", failure).parent_path();
  for (const fs::path& path : {own / kTrainer, own / "../../trainer" / kTrainer}) {
    if (!failure && can_run(path)) return path.lexically_normal().string();
  }
  const char* path_list = std::getenv("PATH");
  std::istringstream folders(path_list == nullptr ? "" : path_list);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!folder.empty() && can_run(fs::path(folder) / kTrainer)) return folder + "/" + kTrainer;
  }
  return std::nullopt;
}

Result<std::string> find_trainer(const LearnOptions& options) {
  if (!options.trainer.empty()) {
    if (can_run(options.trainer)) return options.trainer;
    return Error{options.trainer + " is no program that can be run"};
  }
  if (const std::optional<std::string> found = look_for_trainer()) return *found;
  return Error{
      "--learn needs forerun-trainer, which is built where libtorch is installed "
      "(libtorch-dev), and is not beside this program; --trainer says where it is"};
}

std::vector<std::string> trainer_arguments(const LearnOptions& options, const TraceOptions& trace) {
  std::vector<std::string> arguments = {"--threads",     std::to_string(learning_threads(options)),
                                        "--cadence",     std::to_string(options.cadence),
                                        "--draft-vocab", std::to_string(options.draft_vocab),
                                        "--reuse",       std::to_string(options.reuse),
                                        "--unroll",      std::to_string(options.unroll),
                                        "--lr",          std::to_string(options.learning_rate),
                                        "--window",      std::to_string(trace.max_positions)};
  if (options.share == 0.0) arguments.emplace_back("--idle");
  return arguments;
}

Result<LearnerOptions> learner_options(const LearnOptions& options, const TraceOptions& trace,
                                       const std::string& model_argument, const Model& model) {
  LearnerOptions made;
  Result<std::string> folder =
      options.folder.empty() ? learning_folder(model_argument) : options.folder;
  if (!folder.ok()) return folder.error();
  made.folder = *std::move(folder);
  std::error_code ignored;  // a folder that cannot be made is told by who opens it
  fs::create_directories(fs::path(made.folder).parent_path(), ignored);
  made.trains = options.trains;
  made.idle = options.share == 0.0;
  if (options.trains) {
    Result<std::string> trainer = find_trainer(options);
    if (!trainer.ok()) return trainer.error();
    made.trainer = *std::move(trainer);
  }
  made.trainer_arguments = trainer_arguments(options, trace);
  made.rate = trace.rate;
  made.max_positions = trace.max_positions;
  if (trace.folder.empty()) return made;
  Result<TraceFileWriter> writer = open_traces(trace, model);
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
  command
      .add_option("--learn-share", options.share,
                  "Of the processors, kept for learning; 0: what serving leaves")
      ->check(CLI::Range(0.0, 0.9).description(""))
      ->type_name("SHARE")
      ->capture_default_str()
      ->group(kLearning);
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
  command.add_option("--trainer", options.trainer, "forerun-trainer; else the one beside forerun")
      ->type_name("FILE")
      ->group(kLearning);
}

int serving_threads(const LearnOptions& options, int threads) {
  if (threads != 0 || !options.on || options.share == 0.0) return threads;
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
  Result<LearnerOptions> made = learner_options(options, trace, model_argument, *loaded.model);
  if (!made.ok()) return made.error();
  const std::string& first = kind->eagle3.empty() ? options.first_head : kind->eagle3;
  if (!first.empty()) {
    Status status = take_first_head(made->folder, *loaded.model, first);
    if (!status.ok()) return status.error();
  }
  return Learner::create(*std::move(made), *loaded.model, *loaded.kernels, engine);
}

}  // namespace forerun
