#include "train.h"

#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "batch.h"
#include "draft_vocabulary.h"
#include "head_files.h"
#include "learning_target.h"
#include "trace_files.h"
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
  if (!options.init.empty()) {
    Result<StoredHead> stored = load_head(options.init, target);
    if (!stored.ok()) return stored.error();
    return TrainingState(std::move(stored->head), std::move(stored->vocabulary), options.adam,
                         options.freeze_output);
  }
  Result<DraftVocabulary> vocabulary = choose_vocabulary(options, target);
  if (!vocabulary.ok()) return vocabulary.error();
  HeadSizes sizes = target.sizes;
  sizes.draft_vocab_size = vocabulary->size();
  Head head = make_head(sizes, vocabulary->rows_of(target.output), target.norm, options.seed);
  return TrainingState(std::move(head), *std::move(vocabulary), options.adam,
                       options.freeze_output);
}

// What a report tells, summed over its steps.
class Tally {
 public:
  explicit Tally(int steps) : sums_(static_cast<size_t>(steps)) {}

  void add(const BatchLoss& loss, int64_t num_slots) {
    for (size_t i = 0; i < sums_.size(); ++i) {
      sums_[i].predictions += loss.steps[i].predictions;
      sums_[i].hits += loss.steps[i].hits;
    }
    loss_ += loss.loss.item<double>();
    flops_ += loss.flops;
    slots_ += num_slots;
    ++batches_;
  }

  int64_t batches() const { return batches_; }
  TrainReport report() const {
    const double seconds = std::max(now_seconds() - begin_, 1e-9);
    TrainReport out;
    out.loss = loss_ / static_cast<double>(batches_);
    for (const StepTally& sum : sums_) {
      out.accuracies.push_back(static_cast<double>(sum.hits) /
                               static_cast<double>(std::max<int64_t>(sum.predictions, 1)));
    }
    out.tokens_per_second = static_cast<double>(slots_) / seconds;
    out.flops_per_second = flops_ / seconds;
    return out;
  }

 private:
  std::vector<StepTally> sums_;
  double loss_ = 0.0;
  double flops_ = 0.0;
  int64_t slots_ = 0;
  int64_t batches_ = 0;
  double begin_ = now_seconds();
};

class Run {
 public:
  Run(const TrainOptions& options, const LearningTarget& target, TrainingState state,
      const std::function<void(const TrainReport&)>& report)
      : options_(options),
        target_(target),
        state_(std::move(state)),
        matrices_{target.embedding, state_.vocabulary.rows_of(target.output).to(at::kFloat)},
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
      if (auto example = make_example(*record, options_.window)) {
        examples.push_back(*std::move(example));
      }
    }
    return examples;
  }

  Status learn(const std::vector<Example>& examples) {
    const BatchLoss loss =
        batch_loss(state_.head, matrices_, state_.vocabulary, make_batch(examples), options_.loss);
    if (loss.counted() == 0) return {};
    if (!update(loss.loss)) {
      ++state_.progress.skipped;
      return {};
    }
    int64_t slots = 0;
    for (const Example& example : examples) slots += example.tokens.size(0);
    tally_.add(loss, slots);
    if (tally_.batches() == options_.report_every) report();
    return state_.adam.num_steps % options_.save_every == 0 ? save() : Status();
  }

  bool update(const at::Tensor& loss) {
    if (!std::isfinite(loss.item<double>())) return false;
    loss.backward();
    return state_.adam.step();
  }

  void report() {
    TrainReport report = tally_.report();
    report.step = state_.adam.num_steps;
    report.skipped = state_.progress.skipped;
    report.refused = refused_.count;
    report_(report);
    tally_ = Tally(options_.loss.steps);
  }

  // The state first: a head is never of steps that a resumed run has not done.
  Status save() const {
    if (Status status = save_state(state_path(options_), state_, target_); !status.ok()) {
      return status;
    }
    return publish_head(options_.out, state_.head, state_.vocabulary, target_);
  }

  Error no_step() const {
    if (state_.progress.skipped == 0) return nothing_to_learn(options_, refused_);
    return Error{options_.traces + ": the loss or gradient of every batch was not finite"};
  }

  const TrainOptions& options_;
  const LearningTarget& target_;
  TrainingState state_;
  TargetMatrices matrices_;
  const std::function<void(const TrainReport&)>& report_;
  RefusedRecords refused_;
  Tally tally_;
};

}  // namespace

double TrainReport::acceptance_length() const {
  double length = 1.0;
  double chance = 1.0;
  for (const double accuracy : accuracies) length += chance *= accuracy;
  return length;
}

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
