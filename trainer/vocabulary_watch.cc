#include "vocabulary_watch.h"

#include <algorithm>
#include <utility>

namespace forerun {
namespace {

// A new generation costs what its new rows have not learned: for fewer tokens it does not pay.
constexpr double kWorthwhile = 0.85;

int64_t count_outside(std::span<const int32_t> tokens, const DraftVocabulary& vocabulary) {
  return std::ranges::count_if(tokens,
                               [&](int32_t token) { return vocabulary.draft_id(token) < 0; });
}

}  // namespace

void VocabularyWatch::add(const TraceRecord& record, const DraftVocabulary* current) {
  counts_.add(record);
  if (++num_counted_ % kWindow == 0) counts_.halve();
  if (current == nullptr) return;
  const auto response = record.tokens.subspan(static_cast<size_t>(record.header.prompt_tokens));
  window_.push_back({std::ssize(response), count_outside(response, *current)});
  if (trial_) {
    ++trial_->records;
    trial_->outside_next += count_outside(response, trial_->next);
    trial_->outside_current += window_.back().outside;
  }
  sum_.tokens += window_.back().tokens;
  sum_.outside += window_.back().outside;
  ++since_look_;
  if (std::ssize(window_) <= kWindow) return;
  sum_.tokens -= window_.front().tokens;
  sum_.outside -= window_.front().outside;
  window_.pop_front();
}

void VocabularyWatch::restart() {
  window_.clear();
  sum_ = {};
  since_look_ = 0;
  trial_.reset();
}

double VocabularyWatch::outside_share() const {
  if (sum_.tokens == 0) return 0.0;
  return static_cast<double>(sum_.outside) / static_cast<double>(sum_.tokens);
}

std::optional<DraftVocabulary> VocabularyWatch::better_than(const DraftVocabulary& current,
                                                            int64_t size) {
  if (!trial_ && since_look_ >= kLeastRecords / 2) {
    trial_.emplace(Trial{counts_.most_frequent(size, &current)});
  }
  if (!trial_ || trial_->records < kLeastRecords / 2) return std::nullopt;
  const Trial trial = *std::exchange(trial_, std::nullopt);
  since_look_ = 0;
  const bool is_better = static_cast<double>(trial.outside_next) <=
                         kWorthwhile * static_cast<double>(trial.outside_current);
  if (outside_share() <= kMostOutside || !is_better) return std::nullopt;
  return counts_.most_frequent(size, &current);
}

}  // namespace forerun
