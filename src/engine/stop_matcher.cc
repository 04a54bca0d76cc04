#include "engine/stop_matcher.h"

#include <algorithm>

#include "base/check.h"

namespace forerun {

StopMatcher::Search::Search(std::string_view stop) : stop_(stop) {
  CHECK(!stop.empty(), "stop strings are validated to be non-empty");
  border_bytes_.reserve(stop.size());
  border_bytes_.push_back(0);
  for (size_t i = 1; i < stop.size(); ++i) {
    border_bytes_.push_back(static_cast<uint32_t>(longer(border_bytes_.back(), stop[i])));
  }
}

// What is begun after `byte` where `begun` bytes were before it.
size_t StopMatcher::Search::longer(size_t begun, char byte) const {
  while (begun > 0 && stop_[begun] != byte) begun = border_bytes_[begun - 1];
  return stop_[begun] == byte ? begun + 1 : 0;
}

bool StopMatcher::Search::push(char byte) {
  begun_bytes_ = longer(begun_bytes_, byte);
  return begun_bytes_ == stop_.size();
}

StopMatcher::StopMatcher(std::span<const std::string> stop_strings) {
  searches_.reserve(stop_strings.size());
  for (const std::string& stop : stop_strings) searches_.emplace_back(stop);
}

std::optional<StopMatcher::Match> StopMatcher::push(std::string_view piece) {
  std::optional<Match> first;
  size_t begun = 0;
  for (size_t i = 0; i < searches_.size(); ++i) {
    Search& search = searches_[i];
    const auto end = std::ranges::find_if(piece, [&](char byte) { return search.push(byte); });
    begun = std::max(begun, search.begun_bytes());
    if (end == piece.end()) continue;
    const int64_t begin =
        total_bytes_ + (end - piece.begin()) + 1 - static_cast<int64_t>(search.stop_bytes());
    if (!first || begin < first->begin_bytes) first = Match{static_cast<int>(i), begin};
  }
  total_bytes_ += static_cast<int64_t>(piece.size());
  settled_bytes_ = first ? first->begin_bytes : total_bytes_ - static_cast<int64_t>(begun);
  return first;
}

}  // namespace forerun
