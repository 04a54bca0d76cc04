#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "head_trainer.h"
#include "learning_target.h"
#include "record_filter.h"
#include "replay_buffer.h"
#include "train_report.h"
#include "training_options.h"
#include "vocabulary_watch.h"

namespace forerun {

struct LiveOptions : TrainingOptions {
  std::string out;               // folder of the state and the candidates; made where there is none
  int64_t cadence = 100;         // fresh records between two candidates
  int64_t vocab_records = 64;    // that choose the first vocabulary
  double reuse = 4.0;            // times that a record is trained on, on average
  double fresh_share = 0.5;      // of a batch
  double recent_share = 0.5;     // of its others; what is left is drawn from all before
  int64_t keep_bytes = 1 << 30;  // of records to train on
};

// Training a head on records while they come: when to make a step and of what, when the vocabulary
// changes, and when a head is put out as a candidate. Nothing here waits or knows of processes.
//
// A step is made as soon as enough fresh records wait for a batch's share, filled up with older
// ones; of older ones alone when none are due, as long as records have been trained on less than
// `reuse` times. Otherwise there is nothing to do. Fresh records beyond 64 become older ones, so
// that training never falls behind.
//
// Commands are JSON objects:
//
//   {"command": "pause" | "resume" | "stop"}   records are taken while it is paused
//   {"command": "threads", "threads": N}       steps are computed by so many from now on
//   {"command": "begin_from", "head": FOLDER}  answered by "begun"; the vocabulary is the head's
//
// and so are events, each under its name in "event":
//
//   ready       step, resumed: whether from a saved state, dtype: of products, f32 or bf16
//   vocabulary  the head has another: generation, kept, new (tokens), outside_share (of the
//               response tokens since the last change, at most of 250 records, those outside the
//               old one)
//   step        at most once a second and before a candidate, of the steps since the last line:
//               loss, branch_loss and branch_rows (only with `discard`, where there were any),
//               accuracies, acceptance_length, seconds (a step's); idle_seconds (since then); and
//               altogether: step, trained_tokens, records (taken from the source, of all runs),
//               skipped (batches, of all runs), refused, held_out (records, of this run); buffered
//   candidate   folder, step, trained_tokens, records, first_record and last_record (ordinals, of
//               what was fresh since the last candidate), vocabulary (generation), outside_share
//   begun       head, step
//   error       error: a sentence; training goes on
class LiveTraining final {
 public:
  using Sink = std::function<void(const Json&)>;
  using Clock = std::function<double()>;  // seconds

  // Goes on from the state in the folder, if there is one that fits, or else from `init`. Borrows
  // the target.
  static Result<LiveTraining> begin(const LiveOptions& options, const LearningTarget& target,
                                    Sink sink, Clock clock);

  // The next record, aligned to 8.
  void take(std::span<const uint8_t> bytes);
  // Carries out a command, a JSON object; an event says what is wrong with it.
  void obey(std::string_view line);
  // A step, if one is due; false: there is nothing to do before the next record or command.
  bool advance();
  // Nothing was to be done for so long.
  void add_idle(double seconds) { idle_seconds_ += seconds; }
  bool is_stopped() const { return is_stopped_; }
  // Tells what there is to tell and saves the state.
  Status finish();

 private:
  LiveTraining(const LiveOptions& options, const LearningTarget& target, Sink sink, Clock clock);
  struct Chosen;

  Status restore();
  bool resume();
  void begin_from(const std::string& folder);
  void use_threads(const Json& command);
  bool begin_new();
  void adapt_vocabulary();
  void note_vocabulary(const DraftVocabulary* before);
  Chosen choose();
  void learn(Chosen chosen);
  void note_failure();
  void count(const Chosen& chosen, const TrainStep& step, double seconds);
  void put_out_candidate();
  Status save();
  void save_or_tell();
  void tell_steps();
  void tell_error(const Error& error) const;
  int64_t step() const;

  LiveOptions options_;
  const LearningTarget& target_;
  Sink sink_;
  Clock clock_;
  RecordFilter filter_;
  VocabularyWatch watch_;
  ReplayBuffer buffer_;
  std::optional<HeadTrainer> trainer_;  // none before the vocabulary is chosen
  Progress progress_;
  double budget_ = 0.0;  // records that `reuse` still allows to be trained on
  bool is_paused_ = false;
  bool is_stopped_ = false;
  int failures_in_a_row_ = 0;
  double unsaved_seconds_ = 0.0;  // of steps
  // Since the last line about steps:
  TrainTally tally_;
  double step_seconds_ = 0.0;
  double idle_seconds_ = 0.0;
  double told_at_;
};

}  // namespace forerun
