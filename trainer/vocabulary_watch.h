#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "draft_vocabulary.h"

namespace forerun {

// Follows what tokens responses have, and tells when a head should have logits of others.
class VocabularyWatch final {
 public:
  static constexpr int64_t kWindow = 250;        // records; older ones weigh less and less
  static constexpr int64_t kLeastRecords = 100;  // between two looks
  static constexpr double kMostOutside = 0.02;

  explicit VocabularyWatch(int64_t vocab_size) : counts_(vocab_size) {}

  // `current`: the vocabulary that the head has; null: there is no head yet.
  void add(const TraceRecord& record, const DraftVocabulary* current);
  // The head's vocabulary is another one.
  void restart();

  int64_t num_counted() const { return num_counted_; }  // records
  // The most frequent tokens so far.
  DraftVocabulary choose(int64_t size) const { return counts_.most_frequent(size); }
  // Of the response tokens of the last records since the restart, those outside the vocabulary.
  double outside_share() const;
  // A vocabulary of `size`, where too many tokens are outside the current one and such a one,
  // chosen half of the records before, has left out fewer of what came since: what is frequent with
  // hindsight need not be what comes. To be asked after every record.
  std::optional<DraftVocabulary> better_than(const DraftVocabulary& current, int64_t size);

 private:
  struct Tally {
    int64_t tokens = 0;
    int64_t outside = 0;
  };

  TokenCounts counts_;
  int64_t num_counted_ = 0;
  std::deque<Tally> window_;
  Tally sum_;  // of the window
  int64_t since_look_ = 0;

  // What the next one would have been, and of the response tokens since those outside it and
  // outside the current one.
  struct Trial {
    DraftVocabulary next;
    int64_t records = 0;
    int64_t outside_next = 0;
    int64_t outside_current = 0;
  };
  std::optional<Trial> trial_;
};

}  // namespace forerun
