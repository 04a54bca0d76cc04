#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "online/change_point.h"
#include "online/gate.h"
#include "online/head_scorer.h"
#include "online/head_store.h"
#include "online/head_trial.h"
#include "online/learned_heads.h"
#include "online/learning.h"
#include "online/living_agreement.h"
#include "online/traffic_signature.h"

namespace forerun {

// What a HeadKeeper asks of those around it; called from within its functions.
struct HeadKeeperActions {
  // This head drafts from now on; null, version 0: none.
  std::function<void(int64_t version, const std::shared_ptr<ScoredHead>& head)> draft;
  // Training goes on from the head that lies there.
  std::function<void(const std::string& folder)> go_on_from;
  // An event, which the store has by now.
  std::function<void(const Json& event)> tell;
  std::function<DecodingCost()> cost;
};

// Decides which head drafts, from what is served: whether a candidate is better (HeadTrial,
// PairedGate), whether a new head stays (SequentialWatch), whether what drafts is what was judged
// (LivingAgreement), whether traffic has changed (ChangePoint), and which head of before suits it
// then. One thread calls everything.
//
// A candidate is measured on conversations that it was not trained on: those held out before it
// came, and all that begin after it. So 64 are there after at most 64 more, not after 512.
class HeadKeeper final {
 public:
  // Records of one piece of work.
  static constexpr size_t kBatch = 16;
  // Behind the name of a candidate's folder while it is on trial.
  static constexpr const char* kOnTrial = "-on-trial";
  // New records that a recall is decided on.
  static constexpr size_t kRecent = 32;
  // A watch that has not decided by then keeps the head.
  static constexpr int64_t kLongestWatch = 256;

  // Borrows the store and the loader. Without `recalls`, no head of before comes back by itself.
  HeadKeeper(HeadStore& store, HeadLoader& loader, HeadKeeperActions actions, uint64_t seed,
             bool recalls = true);

  // The store's current head drafts, and its reference is what drift is told by.
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
  // The one that the current head was trained from; where that is gone, none.
  Status roll_back(const char* why);
  // Training goes on from the head that drafts, if one does; what was trained from another is gone.
  void go_on_from_current();
  // Another process may have changed which one is current.
  void follow_store();

  // What came of training, for who decides how much of it there is to be.
  LearnedHeads learned() const;
  // Its part of the status.
  void tell_status(LearningStatus& status) const;
  // Adds what every event has, and keeps and tells it.
  void tell(Json event);
  void tell_error(const Error& error);

 private:
  struct Loaded {
    int64_t version = 0;
    std::shared_ptr<ScoredHead> head;  // null: none
  };
  // Of the head that drafts, against another one.
  struct Watch {
    enum class Why : uint8_t {
      kGate,    // it has passed the gate
      kRecall,  // it came back when traffic changed
      kDrift,   // it stayed when traffic changed, and has proven nothing of what is asked now
    };
    Watch(Loaded the_other, Why reason) : other(std::move(the_other)), why(reason) {}
    const char* reason() const;  // as events tell it
    Loaded other;
    Why why;
    SequentialWatch test;
  };

  HeadKeeper(HeadStore& store, HeadLoader& loader, HeadKeeperActions actions, uint64_t seed,
             bool recalls, std::span<const Json> events_before);

  // What came.
  int64_t conversation_began(uint64_t conversation);
  void keep(const KeptRecords& batch);
  void look_at(const KeptRecords& batch);
  void look_at_firsts(std::span<const TraceRecord> views);
  void check_agreement();
  std::vector<AnswerScore> score_current(std::span<const TraceRecord> views);
  // A candidate.
  void begin_trial();
  void go_on_with_trial();
  void judge_if_due();
  void judge(bool is_last);
  void note_judged(const HeadTrial& trial, bool passed);
  void pass(const HeadTrial& trial, const GateVerdict& verdict);
  void drop_candidates();
  // A new head.
  void add_to_watch(std::span<const TraceRecord> views, std::span<const AnswerScore> current);
  void end_watch(bool keeps);
  // Changed traffic.
  void alarm(const ChangePoint::Alarm& found);
  std::vector<int64_t> worth_recalling() const;
  bool may_come_back(int64_t version) const;
  bool has_other_reference() const {
    return reference_.head != nullptr && reference_.version != current_.version;
  }
  void recall(std::optional<Loaded> stay_against);
  // Which head drafts.
  Result<Loaded> load(int64_t version);
  void begin_with_reference();
  void make_current(Loaded next, const char* why);
  std::vector<double> rates_of_late() const;

  HeadStore& store_;
  HeadLoader& loader_;
  HeadKeeperActions actions_;
  const bool recalls_;
  PairedGate gate_;
  ChangePoint change_point_;
  DecodingCost cost_;  // of the piece of work being done

  Loaded current_;
  Loaded reference_;             // the first that drafted: drift is told by it
  std::deque<Loaded> resident_;  // loaded of late
  int64_t stored_current_ = 0;   // what the store was seen to say

  std::deque<std::shared_ptr<const KeptRecord>> unread_;
  std::deque<std::shared_ptr<const KeptRecord>> held_out_;
  std::deque<std::shared_ptr<const KeptRecord>> recent_;
  std::unordered_map<uint64_t, int64_t> began_;  // by conversation, of late
  int64_t num_records_ = 0;
  int64_t num_held_out_ = 0;
  int64_t num_batches_ = 0;

  std::optional<HeadCandidate> waiting_;
  int64_t waiting_since_ = 0;  // records that had come by then
  std::optional<HeadTrial> trial_;
  std::optional<Watch> watch_;
  LivingAgreement agreement_;
  TrafficSignature traffic_;

  double acceptance_length_ = 1.0;
  double speedup_ = 1.0;
  int64_t vocabulary_ = 0;
  LearningStatus::Verdicts verdicts_;
  LearningStatus::Swaps swaps_;
  int64_t alarms_ = 0;
  std::vector<int64_t> disagreed_;    // whose drafts were others than replay finds
  std::vector<MeasuredHead> judged_;  // since traffic moved last
  int64_t traffic_moves_ = 0;
  std::string last_error_;
  double last_error_time_ = 0.0;
};

}  // namespace forerun
