#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace forerun {

// Looks for the first of some strings in a text that arrives in pieces.
class StopMatcher final {
 public:
  struct Match {
    int stop_string;      // index; the earliest begin wins, then the lowest index
    int64_t begin_bytes;  // where it starts, from the beginning of the text
  };

  // Borrows the strings, which are not empty. Nothing is allocated after construction for pieces of
  // up to `longest_piece` bytes.
  explicit StopMatcher(std::span<const std::string> stop_strings, size_t longest_piece = 512);

  // Adds a piece. A match is final: nothing may be pushed after one.
  std::optional<Match> push(std::string_view piece);

  // How much of the text so far can no longer become part of a match: what a stream may show.
  int64_t settled_bytes() const { return settled_bytes_; }

 private:
  std::span<const std::string> stop_strings_;
  size_t longest_ = 0;
  std::string tail_;  // the text's end, long enough to hold a begun match
  int64_t total_bytes_ = 0;
  int64_t settled_bytes_ = 0;
};

}  // namespace forerun
