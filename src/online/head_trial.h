#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "online/gate.h"
#include "online/head_scorer.h"

namespace forerun {

// A head that the trainer has left in a folder.
struct HeadCandidate {
  std::string folder;
  int64_t step = 0;
  int64_t trained_tokens = 0;
  int64_t first_record = 0;  // of those it was trained on since the last one, as the trainer counts
  int64_t last_record = 0;
  int64_t vocabulary = 0;  // generation
};

// A candidate's, that nobody takes; what cannot be removed stays.
void remove_folder(const std::string& folder);

// A record as it is kept.
struct KeptRecord {
  std::vector<uint64_t> words;
  TraceRecord view;  // of them
  // When its conversation's first record came, as HeadKeeper counts.
  int64_t conversation_began = 0;

  int64_t bytes() const { return std::ssize(words) * static_cast<int64_t>(sizeof(uint64_t)); }
};
using KeptRecords = std::vector<std::shared_ptr<const KeptRecord>>;
std::vector<TraceRecord> views_of(const KeptRecords& records);

// A candidate held against the head that drafts, conversation by conversation, on what it was not
// trained on: conversations that are held out, and those that began after it had come.
class HeadTrial final {
 public:
  // `came`: records that had come by then.
  HeadTrial(HeadCandidate candidate, std::shared_ptr<ScoredHead> head, int64_t came)
      : candidate_(std::move(candidate)), head_(std::move(head)), came_(came) {}

  // It begins anew, as another one, with records of before to look at first.
  void restart(const std::deque<std::shared_ptr<const KeptRecord>>& held_out);
  // Some of those, at most `count`, which are looked at then; none when all have been.
  KeptRecords take(size_t count);

  // Looks at those of the records that it may be measured on. `incumbent`: the score of each; none:
  // no head drafts.
  void add(const KeptRecords& records, std::span<const AnswerScore> incumbent,
           const DecodingCost& cost);

  int64_t num_conversations() const { return std::ssize(times_); }
  std::vector<PairedTime> times() const;
  const GateLooks& looks() const { return looks_; }
  GateVerdict judge(PairedGate& gate, bool is_last) { return gate.judge(times(), looks_, is_last); }

  const HeadCandidate& candidate() const { return candidate_; }
  const std::shared_ptr<ScoredHead>& head() const { return head_; }
  const AnswerScore& sum() const { return sum_; }
  const AnswerScore& incumbent_sum() const { return incumbent_sum_; }

 private:
  bool may_measure(const KeptRecord& record) const;

  HeadCandidate candidate_;
  std::shared_ptr<ScoredHead> head_;
  int64_t came_;
  KeptRecords todo_;                                // the next one last
  std::unordered_map<uint64_t, PairedTime> times_;  // by conversation
  GateLooks looks_;
  AnswerScore sum_;
  AnswerScore incumbent_sum_;
};

void add(AnswerScore& sum, const AnswerScore& one);
// Tokens a round; 1 of none.
double acceptance_length(const AnswerScore& score);
// How much faster than without a head; 1 of none.
double speedup(const AnswerScore& score);

}  // namespace forerun
