#include "event_text.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(EventText, TextOfEitherSurface) {
  EXPECT_TRUE(carries_text(R"(data: {"choices":[{"index":0,"text":" a"}]})"));
  EXPECT_TRUE(carries_text(R"(data: {"choices": [{"index": 0, "text": " a"}]})"));
  EXPECT_TRUE(carries_text(R"(data: {"choices":[{"delta":{"content":"x"}}]})"));
}

TEST(EventText, NoneInEventsThatOnlyTellOfTheEnd) {
  EXPECT_FALSE(carries_text(R"(data: {"choices":[{"text":"","finish_reason":"stop"}]})"));
  EXPECT_FALSE(
      carries_text(R"(data: {"choices":[{"delta":{"role":"assistant","content":null}}]})"));
  EXPECT_FALSE(carries_text(R"(data: {"choices":[],"usage":{"completion_tokens":5}})"));
  EXPECT_FALSE(carries_text("data: [DONE]"));
  EXPECT_FALSE(carries_text(R"(data: {"text":)"));
}

TEST(EventText, CountsOfTheUsage) {
  EXPECT_EQ(completion_tokens(R"({"usage":{"prompt_tokens":9,"completion_tokens":128}})"), 128);
  EXPECT_EQ(completion_tokens(R"({"usage": {"completion_tokens": 7, "total_tokens": 9}})"), 7);
  EXPECT_EQ(completion_tokens(R"({"usage":null})"), 0);
  EXPECT_EQ(completion_tokens("data: [DONE]"), 0);
}

}  // namespace
}  // namespace forerun
