#include "train.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "batch.h"
#include "draft_vocabulary.h"
#include "head_files.h"
#include "head_trainer.h"
#include "learning_target.h"
#include "trace_files.h"
#include "training_begin.h"
#include "training_state.h"

namespace forerun {
namespace {

// Records whose tokens are counted to choose a draft vocabulary.
constexpr int kCountedRecords = 1024;

std::string state_path(const TrainOptions& options) {
  return options.out + ".state";
}

Error nothing_to_learn(const TrainOptions& options, const RefusedRecords& refused) {
  std::string sentence = options.traces + ": there is no record to learn from";
  if (refused.count > 0) {
    sentence += "; " + std::to_string(refused.count) + " refused, the first: " + refused.first;
  }
  if (refused.held_out > 0) {
    sentence += "; " + std::to_string(refused.held_out) + " held out of training";
  }
  return Error{sentence};
}

Result<DraftVocabulary> choose_vocabulary(const TrainOptions& options,
                                          const LearningTarget& target) {
  Result<TraceFiles> files = TraceFiles::open(options.traces, target);
  if (!files.ok()) return files.error();
  TokenCounts counts(target.vocab_size);
  int counted = 0;
  while (counted < kCountedRecords) {
    const std::optional<TraceRecord> record = files->next();
    if (!record) break;
    counts.add(*record);
    ++counted;
  }
  if (counted == 0) return nothing_to_learn(options, files->refused());
  return counts.most_frequent(options.draft_vocab);
}

Result<TrainingState> begin_state(const TrainOptions& options, const LearningTarget& target) {
  if (options.resume && std::filesystem::exists(state_path(options))) {
    return load_state(state_path(options), target, options.adam, options.freeze_output);
  }
  if (!options.init.empty()) return begin_from_head(options.init, target, options);
  Result<DraftVocabulary> vocabulary = choose_vocabulary(options, target);
  if (!vocabulary.ok()) return vocabulary.error();
  return begin_new_head(*std::move(vocabulary), target, options);
}

class Run {
 public:
  Run(const TrainOptions& options, const LearningTarget& target, TrainingState state,
      const std::function<void(const TrainReport&)>& report)
      : options_(options),
        target_(target),
        trainer_(std::move(state), target),
        report_(report),
        tally_(options.loss.steps) {}

  Result<TrainResult> run() {
    while (!has_enough_steps() && state_.progress.epochs < options_.epochs) {
      if (Status status = run_epoch(); !status.ok()) return status.error();
    }
    if (state_.adam.num_steps == 0) return no_step();
    if (Status status = save(); !status.ok()) return status.error();
    return TrainResult{.steps = state_.adam.num_steps, .refused = refused_};
  }

 private:
  bool has_enough_steps() const {
    return options_.steps > 0 && state_.adam.num_steps >= options_.steps;
  }

  Status run_epoch() {
    Result<TraceFiles> files = TraceFiles::open(options_.traces, target_);
    if (!files.ok()) return files.error();
    for (int64_t i = 0; i < state_.progress.records; ++i) files->next();
    while (!has_enough_steps()) {
      const std::vector<Example> examples = read_examples(*files);
      refused_ = files->refused();
      if (examples.empty()) {
        state_.progress.records = 0;
        ++state_.progress.epochs;
        return {};
      }
      if (Status status = learn(examples); !status.ok()) return status;
    }
    return {};
  }

  // A batch; fewer at the source's end.
  std::vector<Example> read_examples(RecordSource& source) {
    std::vector<Example> examples;
    while (std::ssize(examples) < options_.batch) {
      const std::optional<TraceRecord> record = source.next();
      if (!record) break;
      ++state_.progress.records;
      if (auto example = make_example(*record, options_.window, options_.loss.discard > 0.0)) {
        examples.push_back(*std::move(example));
      }
    }
    return examples;
  }

  Status learn(const std::vector<Example>& examples) {
    const TrainStep step = trainer_.step(examples, options_.loss);
    if (step.outcome == StepOutcome::kNotFinite) ++state_.progress.skipped;
    if (step.outcome != StepOutcome::kDone) return {};
    int64_t slots = 0;
    for (const Example& example : examples) slots += example.tokens.size(0);
    tally_.add(step.loss, slots);
    if (tally_.batches() == options_.report_every) report();
    return state_.adam.num_steps % options_.save_every == 0 ? save() : Status();
  }

  void report() {
    TrainReport report = tally_.report();
    report.step = state_.adam.num_steps;
    report.skipped = state_.progress.skipped;
    report.refused = refused_.count;
    report_(report);
    tally_ = TrainTally(options_.loss.steps);
  }

  // The state first: a head is never of steps that a resumed run has not done.
  Status save() const {
    if (Status status = save_state(state_path(options_), state_, target_); !status.ok()) {
      return status;
    }
    return publish_head(options_.out, state_.averaged(), state_.vocabulary, target_);
  }

  Error no_step() const {
    if (state_.progress.skipped == 0) return nothing_to_learn(options_, refused_);
    return Error{options_.traces + ": the loss or gradient of every batch was not finite"};
  }

  const TrainOptions& options_;
  const LearningTarget& target_;
  HeadTrainer trainer_;
  TrainingState& state_ = trainer_.state;
  const std::function<void(const TrainReport&)>& report_;
  RefusedRecords refused_;
  TrainTally tally_;
};

}  // namespace

Result<TrainResult> train(const TrainOptions& options,
                          const std::function<void(const TrainReport&)>& report) {
  const Result<LearningTarget> target = read_target(options.traces);
  if (!target.ok()) return target.error();
  if (Status status = check_place(options.out); !status.ok()) return status.error();
  Result<TrainingState> state = begin_state(options, *target);
  if (!state.ok()) return state.error();
  return Run(options, *target, *std::move(state), report).run();
}

}  // namespace forerun
