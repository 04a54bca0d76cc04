#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "aten.h"
#include "online/trace_record.h"

namespace forerun {

// The tokens that a head has logits of.
class DraftVocabulary final {
 public:
  // Ascending; each below `vocab_size`, none twice.
  DraftVocabulary(std::vector<int32_t> token_of, int64_t vocab_size);

  int64_t size() const { return std::ssize(token_of_); }
  int64_t vocab_size() const { return std::ssize(draft_of_); }
  const std::vector<int32_t>& token_of() const { return token_of_; }
  // −1 of a token that is not in it.
  int64_t draft_id(int64_t token) const { return draft_of_[static_cast<size_t>(token)]; }
  // Of a matrix [vocab_size, …].
  at::Tensor rows_of(const at::Tensor& matrix) const;

 private:
  std::vector<int32_t> token_of_;
  std::vector<int32_t> draft_of_;  // [vocab_size]
};

// Counts response tokens to find the vocabulary that covers most of them. What prompts say comes in
// later responses sooner than other tokens that no response had.
class TokenCounts final {
 public:
  explicit TokenCounts(int64_t vocab_size) : counts_(static_cast<size_t>(vocab_size)) {}
  // Tokens are below `vocab_size`.
  void add(const TraceRecord& record);
  // What was counted weighs half of what will be.
  void halve();
  // The `size` tokens that are most frequent in responses, those of `current` counted once more
  // than they came: their rows are trained. Of equals those, then those in prompts, then the lowest
  // ids.
  DraftVocabulary most_frequent(int64_t size, const DraftVocabulary* current = nullptr) const;

 private:
  struct Count {
    double in_responses = 0.0;
    double in_prompts = 0.0;
  };
  std::vector<Count> counts_;
};

}  // namespace forerun
