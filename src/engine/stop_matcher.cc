#include "engine/stop_matcher.h"

#include <algorithm>

#include "base/check.h"

namespace forerun {
namespace {

// Length of the longest end of `text` that is a proper beginning of `stop`.
size_t begun_bytes(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == stop.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

StopMatcher::StopMatcher(std::span<const std::string> stop_strings, size_t longest_piece)
    : stop_strings_(stop_strings) {
  for (const std::string& stop : stop_strings) {
    CHECK(!stop.empty(), "stop strings are validated to be non-empty");
    longest_ = std::max(longest_, stop.size());
  }
  tail_.reserve(longest_ + longest_piece);
}

std::optional<StopMatcher::Match> StopMatcher::push(std::string_view piece) {
  total_bytes_ += static_cast<int64_t>(piece.size());
  if (stop_strings_.empty()) {
    settled_bytes_ = total_bytes_;
    return std::nullopt;
  }
  tail_ += piece;
  std::optional<Match> first;
  size_t begun = 0;
  for (size_t i = 0; i < stop_strings_.size(); ++i) {
    const size_t at = tail_.find(stop_strings_[i]);
    const int64_t begin = total_bytes_ - static_cast<int64_t>(tail_.size() - at);
    if (at != std::string::npos && (!first || begin < first->begin_bytes)) {
      first = Match{static_cast<int>(i), begin};
    }
    begun = std::max(begun, begun_bytes(tail_, stop_strings_[i]));
  }
  settled_bytes_ = first ? first->begin_bytes : total_bytes_ - static_cast<int64_t>(begun);
  if (tail_.size() >= longest_) tail_.erase(0, tail_.size() - (longest_ - 1));
  return first;
}

}  // namespace forerun
