#include "formats/quote.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(Quote, LeavesTextAlone) {
  EXPECT_EQ(quote("blk.0.attn_q — größe 日本 😀"), "'blk.0.attn_q — größe 日本 😀'");
}

TEST(Quote, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(quote(std::string_view("a\x1b[2J\0b\n\t\x7f", 10)), R"('a\x1b[2J\x00b\n\t\x7f')");
  EXPECT_EQ(quote("\xc2\x9b"), R"('\xc2\x9b')");  // U+009B, a one-character escape sequence start
}

TEST(Quote, EscapesBrokenUtf8) {
  EXPECT_EQ(quote("\xe6\x97"), R"('\xe6\x97')");          // cut
  EXPECT_EQ(quote("\xc0\xaf"), R"('\xc0\xaf')");          // overlong
  EXPECT_EQ(quote("\xed\xa0\x80"), R"('\xed\xa0\x80')");  // surrogate
  EXPECT_EQ(quote("\xf4\x90\x80\x80"), R"('\xf4\x90\x80\x80')");
}

TEST(Quote, CutsBetweenCharacters) {
  EXPECT_EQ(quote("abcdef", 3), "'abc…'");
  EXPECT_EQ(quote("abé", 3), "'ab…'");
  EXPECT_EQ(quote("abc", 3), "'abc'");
}

}  // namespace
}  // namespace forerun
