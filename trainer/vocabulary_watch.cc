#include "vocabulary_watch.h"

#include <algorithm>

namespace forerun {
namespace {

constexpr double kWorthwhile = 0.75;

}  // namespace

void VocabularyWatch::add(const TraceRecord& record, const DraftVocabulary* current) {
  counts_.add(record);
  if (++num_counted_ % kWindow == 0) counts_.halve();
  if (current == nullptr) return;
  const auto response = record.tokens.subspan(static_cast<size_t>(record.header.prompt_tokens));
  window_.push_back({.tokens = std::ssize(response),
                     .outside = std::ranges::count_if(
                         response, [&](int32_t token) { return current->draft_id(token) < 0; })});
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
}

double VocabularyWatch::outside_share() const {
  if (sum_.tokens == 0) return 0.0;
  return static_cast<double>(sum_.outside) / static_cast<double>(sum_.tokens);
}

std::optional<DraftVocabulary> VocabularyWatch::better_than(const DraftVocabulary& current,
                                                            int64_t size) {
  if (since_look_ < kLeastRecords || outside_share() <= kMostOutside) return std::nullopt;
  since_look_ = 0;
  DraftVocabulary next = counts_.most_frequent(size, &current);
  const double outside = counts_.outside_share(next);
  if (outside > kWorthwhile * counts_.outside_share(current)) return std::nullopt;
  return next;
}

}  // namespace forerun
