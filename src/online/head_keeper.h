#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "online/change_point.h"
#include "online/gate.h"
#include "online/head_scorer.h"
#include "online/head_store.h"
#include "online/learning.h"

namespace forerun {

// A head that the trainer has left in a folder.
struct HeadCandidate {
  std::string folder;
  int64_t step = 0;
  int64_t trained_tokens = 0;
  int64_t first_record = 0;  // of those it was trained on since the last one
  int64_t last_record = 0;
  int64_t vocabulary = 0;  // generation
};

// Decides which head drafts, from what is served: whether a candidate is better (PairedGate),
// whether a new head stays (SequentialWatch), whether traffic or the head has changed
// (ChangePoint), and which head of before suits changed traffic. One thread calls everything.
//
// A candidate is measured on conversations that it was not trained on: those held out before it
// came, and all that come after it. So 64 are there after at most 64 more, not after 512.
class HeadKeeper final {
 public:
  // What it has done; called from within its functions.
  struct World {
    // This head drafts from now on; null, version 0: none.
    std::function<void(int64_t version, const std::shared_ptr<ScoredHead>& head)> draft;
    // Training goes on from the head that lies there.
    std::function<void(const std::string& folder)> go_on_from;
    // An event, which the store has by now.
    std::function<void(const Json& event)> tell;
  };

  // Records of one piece of work.
  static constexpr size_t kBatch = 16;
  // Held-out records that are kept, and new ones, for a candidate and a recall to be measured on.
  static constexpr size_t kMostHeldOut = 128;
  static constexpr size_t kRecent = 32;
  // A watch that has not decided by then keeps the head.
  static constexpr int64_t kLongestWatch = 256;

  // Borrows the store and the loader.
  HeadKeeper(HeadStore& store, HeadLoader& loader, World world, uint64_t seed);
  ~HeadKeeper();

  // The store's current head drafts.
  void begin();

  // The next record (trace_record.h).
  void add(std::vector<uint64_t> record);
  // The candidate that is waiting for its turn gives way.
  void offer(HeadCandidate candidate);
  // One piece of work; false: there is none. With `flush`, a few records are as good as a batch.
  bool work(bool flush);

  // Lets a head of the store draft, or with version 0 none. An Error says why there is no such
  // head.
  Status activate(int64_t version, const char* why);
  // The one that the current head was trained from.
  Status roll_back(const char* why);
  // Another process may have changed it.
  void follow_store();

  // Its part of the status.
  void tell_status(LearningStatus& status) const;
  void tell(Json event);

 private:
  struct Loaded {
    int64_t version = 0;
    std::shared_ptr<ScoredHead> head;  // null: none
  };
  struct Kept {
    std::vector<uint64_t> words;
    TraceRecord record;
  };
  // A candidate being measured.
  struct Trial {
    HeadCandidate candidate;
    std::shared_ptr<ScoredHead> head;
    std::vector<PairedTime> times;
    std::vector<std::shared_ptr<const Kept>> todo;  // held-out records of before
    AnswerScore sum;
    AnswerScore incumbent_sum;
  };
  struct Watch {
    Loaded before;
    SequentialWatch test;
  };
  // What was drafted while it served against what replay says.
  struct Agreement {
    int64_t places = 0;
    int64_t different = 0;
    int64_t living_right = 0;
    int64_t replayed_right = 0;
  };
  using Records = std::vector<std::shared_ptr<const Kept>>;

  void look_at(const Records& batch);
  void keep(const Records& batch);
  void look_at_firsts(const Records& batch, std::span<const TraceRecord> views);
  void compare_with_living(const Kept& kept, std::span<const FirstDraft> replayed);
  void observe_drift(std::span<const double> head, std::span<const double> reference);
  void add_to_trial(std::span<const TraceRecord> views, const std::vector<AnswerScore>& incumbent);
  void add_to_watch(std::span<const TraceRecord> views, const std::vector<AnswerScore>& current);
  std::vector<AnswerScore> score_current(std::span<const TraceRecord> views);
  void note_current(const std::vector<AnswerScore>& scores);
  void begin_trial();
  void go_on_with_trial();
  void judge();
  void pass(const Trial& trial, const GateVerdict& verdict);
  void end_watch(const char* verdict);
  void check_agreement();
  void alarm(const ChangePoint::Alarm& found);
  void recall(size_t num_changed);
  Result<Loaded> load(int64_t version);
  std::vector<int64_t> worth_recalling() const;
  void make_current(Loaded next, const char* why);
  void add_traffic(const TraceRecord& record);

  HeadStore& store_;
  HeadLoader& loader_;
  World world_;
  PairedGate gate_;
  ChangePoint change_point_;

  Loaded current_;
  Loaded reference_;             // frozen: drift is told by it
  std::deque<Loaded> resident_;  // loaded of late

  std::deque<std::shared_ptr<const Kept>> unread_;
  std::deque<std::shared_ptr<const Kept>> held_out_;
  std::deque<std::shared_ptr<const Kept>> recent_;
  int64_t num_records_ = 0;
  int64_t num_held_out_ = 0;
  int64_t num_batches_ = 0;

  std::optional<HeadCandidate> waiting_;
  std::optional<Trial> trial_;
  std::optional<Watch> watch_;
  Agreement agreement_;

  std::vector<float> traffic_;  // mean of the states that prompts end with, of late
  double acceptance_length_ = 1.0;
  double speedup_ = 1.0;
  int64_t vocabulary_ = 0;
  LearningStatus::Verdicts verdicts_;
  LearningStatus::Swaps swaps_;
  int64_t alarms_ = 0;
};

}  // namespace forerun
