#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/head_slot.h"
#include "kernels/kernel_table.h"
#include "online/head_keeper.h"
#include "online/learning.h"
#include "online/learning_share.h"
#include "online/replayed_head.h"
#include "online/trace_capture.h"
#include "online/trace_file.h"
#include "online/trace_ring.h"
#include "online/trainer_process.h"

namespace forerun {

struct LearnerOptions {
  std::string folder;                          // of heads, events, and what the trainer keeps
  std::string trainer;                         // forerun-trainer's path
  std::vector<std::string> trainer_arguments;  // beside those that say where things are
  double rate = 1.0;                           // of the conversations that are recorded
  int64_t max_positions = 512;
  int64_t ring_bytes = int64_t{1} << 28;  // a power of two: from the engine, and to the trainer
  bool keeps_branches = false;  // records hold what was drafted in vain, as many rows as positions
  bool trains = true;           // else heads are only watched: none comes
  bool recalls = true;          // a head of before, when traffic is as it was
  // Learning has only what serving leaves over; else, processors of its own: so many for good.
  bool idle = true;
  int kept_threads = 0;
  // Idle, learning may take so many of the engine's threads as long as that pays (LearningShare).
  int spare_threads = 0;
  int engine_threads = 0;  // all of the team that the engine is created with
  int idle_threads = 1;    // the trainer's without any of its own
  // As the trainer's arguments say.
  double reuse = 4.0;
  int64_t draft_vocab = 4096;
  int64_t cadence = 100;
  // Between two looks at whether it pays, and what it has to bring (LearningShare::Options).
  double look_seconds = 30.0;
  double least_gain = 0.01;
  // Records are also written there.
  std::optional<TraceFileWriter> spill = std::nullopt;
};

// The loop that learns while an engine serves (docs/learning.md): what ends in the engine is
// recorded; one thread of low priority hands records to a trainer, a process of its own, and to a
// HeadKeeper; and what that decides is offered to the engine.
class Learner final : public Learning {
 public:
  // Sets what the engine is to be created with. Borrows the model and the kernels. An Error says
  // which file cannot be had.
  static Result<std::unique_ptr<Learner>> create(LearnerOptions options, const Model& target,
                                                 const KernelTable& kernels, EngineOptions& engine);
  ~Learner() override;  // end()

  // Begins, over the engine that was created so; borrowed. Told to the listener from here on.
  void start(Engine& engine);
  // Of the engine, nothing may run any more. The trainer saves what it has.
  void end();

  LearningStatus status() const override;
  const HeadStore& store() const override { return store_; }
  void set_enabled(bool enabled) override;
  Status activate(int64_t version) override;
  Status roll_back() override;
  void listen(std::function<void(const Json&)> listener) override;

  // Whether all that was recorded so far has been handed on and looked at; for measurements.
  bool is_idle() const;
  // What heads are weighed by, as it stands; for measurements.
  DecodingCost decoding_cost() const;

 private:
  // What the engine's thread leaves at the end of a sequence.
  struct Living {
    TraceCapture::Stats capture;
    double capture_share = 0.0;
    DecodingCost cost;
    StepCost all_steps;      // of all threads
    StepCost smaller_steps;  // of those that are left where learning has its own
    double swap_seconds = 0.0;
  };
  // Of the engine, when its costs were compared last.
  struct Spent {
    double steps = 0.0;
    double timed_steps = 0.0;
    double drafting = 0.0;
    double timed_drafting = 0.0;
  };

  Learner(LearnerOptions options, const Model& target, const KernelTable& kernels, HeadStore store,
          FileDescriptor lock, TraceRing records, TraceRing lessons);

  // The engine's thread.
  void on_sequence_end(const SequenceEnd& end);
  void learn_steps();
  void learn_cost(const EngineStats& stats);

  // The loop's thread.
  void run();
  void loop();
  bool take_record();
  void spill(std::span<const uint8_t> block);
  void teach(std::span<const uint8_t> block);
  bool obey();
  void look_after_trainer(double now);
  void start_trainer(double now);
  void hear(const Json& told);
  void hear_step(const Json& told);
  void begin_sharing();
  void share_machine(double now);
  LearningSituation situation() const;
  int64_t num_dropped() const;
  void tell_trainer_threads();
  void tell_dropped(double now);
  void publish_status(double now);
  HeadKeeperActions actions();
  void let_draft(int64_t version, const std::shared_ptr<ScoredHead>& head);
  void go_on_from(const std::string& folder);
  void tell(const Json& event);

  LearnerOptions options_;
  const Model& target_;
  const uint64_t weights_;
  HeadStore store_;
  FileDescriptor lock_;  // of the only loop that learns in the folder
  TraceRing records_;    // from the engine
  TraceRing lessons_;    // to the trainer
  TraceCapture capture_;
  ReplayedHeads loader_;
  Engine* engine_ = nullptr;
  Spent spent_;  // the engine's thread's

  std::optional<HeadKeeper> keeper_;
  std::optional<TrainerProcess> trainer_;
  std::optional<LearningShare> share_;  // none: nothing is decided
  double lesson_tokens_ = 0.0;          // answered, of what went to the trainer
  double trainer_began_ = 0.0;
  double trainer_due_ = 0.0;    // when it is started next
  double trainer_pause_ = 0.0;  // before that, where it keeps ending
  std::string begin_from_;      // a head that the next trainer begins with
  double record_time_ = 0.0;    // when the last one came
  int64_t num_not_spilled_ = 0;
  int64_t told_dropped_ = 0;  // records
  double dropped_due_ = 0.0;  // when more of them are told of
  LearningStatus made_;       // what the loop knows of itself

  mutable std::mutex mutex_;
  Living living_;
  LearningStatus status_;
  std::vector<std::function<void()>> commands_;
  std::mutex listener_mutex_;
  std::function<void(const Json&)> listener_;
  std::atomic<bool> enabled_{true};
  std::atomic<bool> ending_{false};
  std::atomic<bool> has_ended_{false};  // by an error
  std::atomic<int64_t> looked_at_{0};   // records
  std::thread thread_;
};

}  // namespace forerun
