#pragma once

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

// Counts response tokens to find the vocabulary that covers most of them.
class TokenCounts final {
 public:
  explicit TokenCounts(int64_t vocab_size) : counts_(static_cast<size_t>(vocab_size), 0.0) {}
  // Tokens are below `vocab_size`.
  void add(const TraceRecord& record);
  // What was counted weighs half of what will be.
  void halve();
  // The `size` most frequent tokens; of equals those of `current` first, then the lowest ids.
  DraftVocabulary most_frequent(int64_t size, const DraftVocabulary* current = nullptr) const;
  // Of what was counted, the share that `vocabulary` leaves out.
  double outside_share(const DraftVocabulary& vocabulary) const;

 private:
  std::vector<double> counts_;
};

}  // namespace forerun
