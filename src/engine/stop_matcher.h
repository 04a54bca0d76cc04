#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace forerun {

// Looks for the first of some strings in a text that arrives in pieces. Takes time linear in the
// text, whatever the strings (Knuth, Morris, Pratt 1977): both come from strangers.
class StopMatcher final {
 public:
  struct Match {
    int stop_string;      // index; the earliest begin wins, then the lowest index
    int64_t begin_bytes;  // where it starts, from the beginning of the text
  };

  // Borrows the strings, which are not empty. Nothing is allocated after construction.
  explicit StopMatcher(std::span<const std::string> stop_strings);

  // Adds a piece. A match is final: nothing may be pushed after one.
  std::optional<Match> push(std::string_view piece);

  // How much of the text so far can no longer become part of a match: what a stream may show.
  int64_t settled_bytes() const { return settled_bytes_; }

 private:
  class Search {
   public:
    explicit Search(std::string_view stop);
    // Reads one byte more; true when the text now ends with the whole string.
    bool push(char byte);
    // Length of the string's longest beginning that the text ends with.
    size_t begun_bytes() const { return begun_bytes_; }
    size_t stop_bytes() const { return stop_.size(); }

   private:
    size_t longer(size_t begun, char byte) const;

    std::string_view stop_;
    // Of the string's first i + 1 bytes: the longest end, not all of them, that is its beginning.
    std::vector<uint32_t> border_bytes_;
    size_t begun_bytes_ = 0;
  };

  std::vector<Search> searches_;
  int64_t total_bytes_ = 0;
  int64_t settled_bytes_ = 0;
};

}  // namespace forerun
