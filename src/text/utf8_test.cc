#include "text/utf8.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

std::string valid(std::string_view bytes) {
  std::string text;
  append_valid_utf8(bytes, text);
  return text;
}

TEST(Utf8, KeepsWhatIsValid) {
  for (const std::string text : {"", "a", "é", "漢", "🤖", "\x7f", "\u07ff\u0800\uffff"}) {
    EXPECT_EQ(valid(text), text);
    EXPECT_EQ(complete_utf8_prefix(text), text.size());
  }
}

TEST(Utf8, ReplacesMaximalParts) {
  EXPECT_EQ(valid("a\xffz"), "a\uFFFDz");
  EXPECT_EQ(valid("\xf0\x9f\xa4"), "\uFFFD");  // cut off: one part
  EXPECT_EQ(valid("\xf0\x9f\xa4z"), "\uFFFDz");
  EXPECT_EQ(valid("\xc0\xaf"), "\uFFFD\uFFFD");  // overlong
  EXPECT_EQ(valid("\xe0\x80\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(valid("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // surrogate
  EXPECT_EQ(valid("\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(valid("\x80\xe2\x82"), "\uFFFD\uFFFD");
}

TEST(Utf8, HoldsOnlyWhatMayYetBecomeACharacter) {
  EXPECT_EQ(complete_utf8_prefix("a\xf0\x9f\xa4"), 1u);
  EXPECT_EQ(complete_utf8_prefix("a\xc3"), 1u);
  EXPECT_EQ(complete_utf8_prefix("\xe2\x82"), 0u);
  EXPECT_EQ(complete_utf8_prefix("\xe0\x80"), 2u);   // already wrong
  EXPECT_EQ(complete_utf8_prefix("a\x80\x80"), 3u);  // begins nothing
  EXPECT_EQ(complete_utf8_prefix("\xff"), 1u);
}

}  // namespace
}  // namespace forerun
