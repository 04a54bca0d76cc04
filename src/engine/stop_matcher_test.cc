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

TEST(StopMatcher, WithoutStopsEverythingIsSettled) {
  StopMatcher matcher({});
  EXPECT_FALSE(matcher.push("anything"));
  EXPECT_EQ(matcher.settled_bytes(), 8);
}

}  // namespace
}  // namespace forerun
