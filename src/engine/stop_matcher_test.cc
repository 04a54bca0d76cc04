#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

#include <vector>

namespace forerun {
namespace {

TEST(StopMatcher, FindsAStringHoweverTheTextIsCut) {
  const std::vector<std::string> stops = {"</s>", "END"};
  const std::string text = "some <text</s>more END";
  for (size_t cut = 1; cut <= text.size(); ++cut) {
    StopMatcher matcher(stops);
    std::optional<StopMatcher::Match> match;
    for (size_t i = 0; i < text.size() && !match; i += cut) {
      match = matcher.push(std::string_view(text).substr(i, cut));
      // Nothing of the stop string is ever shown.
      EXPECT_LE(matcher.settled_bytes(), 10);
    }
    ASSERT_TRUE(match) << "pieces of " << cut;
    EXPECT_EQ(match->stop_string, 0);
    EXPECT_EQ(match->begin_bytes, 10);
    EXPECT_EQ(matcher.settled_bytes(), 10);
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStop) {
  const std::vector<std::string> stops = {"abab!"};
  StopMatcher matcher(stops);
  EXPECT_FALSE(matcher.push("xab"));
  EXPECT_EQ(matcher.settled_bytes(), 1);
  EXPECT_FALSE(matcher.push("ab"));
  EXPECT_EQ(matcher.settled_bytes(), 1);
  EXPECT_FALSE(matcher.push("a"));  // "ababa": only "aba" can still begin one
  EXPECT_EQ(matcher.settled_bytes(), 3);
  EXPECT_FALSE(matcher.push("z"));
  EXPECT_EQ(matcher.settled_bytes(), 7);
}

TEST(StopMatcher, EarliestBeginWinsThenLowestIndex) {
  const std::vector<std::string> stops = {"cd", "bcd", "bc"};
  StopMatcher matcher(stops);
  const auto match = matcher.push("abcd");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->stop_string, 1);
  EXPECT_EQ(match->begin_bytes, 1);
}

// Of all texts of two letters, whatever is looked for and however they are cut.
TEST(StopMatcher, AgreesWithSearchingTheWholeText) {
  constexpr int kLetters = 12;
  const std::vector<std::vector<std::string>> cases = {
      {"aab"}, {"abaab"}, {"aaaa"}, {"abab", "bba"}, {"babba", "abb", "aaba"}};
  for (const auto& stops : cases) {
    for (unsigned bits = 0; bits < 1u << kLetters; ++bits) {
      std::string text;
      for (int i = 0; i < kLetters; ++i) text += (bits >> i & 1) != 0 ? 'b' : 'a';
      StopMatcher matcher(stops);
      const size_t cut = 1 + bits % 4;
      for (size_t end = 0; end < text.size();) {
        const std::string piece = text.substr(end, cut);
        end += piece.size();
        const std::string_view so_far = std::string_view(text).substr(0, end);
        size_t first = std::string::npos;
        for (const std::string& stop : stops) first = std::min(first, so_far.find(stop));
        const auto match = matcher.push(piece);
        ASSERT_EQ(match.has_value(), first != std::string::npos) << so_far;
        if (match) {
          ASSERT_EQ(match->begin_bytes, static_cast<int64_t>(first)) << so_far;
          break;
        }
        size_t settled = end;
        for (const std::string& stop : stops) {
          for (size_t n = 1; n < stop.size(); ++n) {
            if (so_far.ends_with(stop.substr(0, n))) settled = std::min(settled, end - n);
          }
        }
        ASSERT_EQ(matcher.settled_bytes(), static_cast<int64_t>(settled)) << so_far;
      }
    }
  }
}

TEST(StopMatcher, WithoutStopsEverythingIsSettled) {
  StopMatcher matcher({});
  EXPECT_FALSE(matcher.push("anything"));
  EXPECT_EQ(matcher.settled_bytes(), 8);
}

}  // namespace
}  // namespace forerun
