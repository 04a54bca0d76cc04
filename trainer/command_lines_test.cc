#include "command_lines.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

namespace forerun {
namespace {

class CommandLinesTest : public testing::Test {
 protected:
  CommandLinesTest() { EXPECT_EQ(pipe(ends.data()), 0); }
  ~CommandLinesTest() override {
    close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
  }
  void send(const std::string& text) {
    EXPECT_EQ(write(ends[1], text.data(), text.size()), std::ssize(text));
  }

  std::array<int, 2> ends = {-1, -1};
};

TEST_F(CommandLinesTest, GivesWholeLines) {
  CommandLines lines(ends[0]);
  lines.wait(0);
  EXPECT_FALSE(lines.next());
  send("one\ntw");
  lines.wait(0);
  EXPECT_EQ(lines.next(), "one");
  EXPECT_FALSE(lines.next());
  send("o\n\n");
  lines.wait(0);
  EXPECT_EQ(lines.next(), "two");
  EXPECT_EQ(lines.next(), "");
  EXPECT_FALSE(lines.next());
  EXPECT_FALSE(lines.has_ended());
}

TEST_F(CommandLinesTest, EndsWithItsWriter) {
  CommandLines lines(ends[0]);
  send("last\n");
  close(ends[1]);
  ends[1] = -1;
  lines.wait(0);
  EXPECT_EQ(lines.next(), "last");
  lines.wait(0);
  EXPECT_TRUE(lines.has_ended());
}

TEST_F(CommandLinesTest, CutsWhatIsFarTooLong) {
  CommandLines lines(ends[0]);
  for (int i = 0; i < 16; ++i) {
    EXPECT_FALSE(lines.next());
    send(std::string(4096, 'x'));
    lines.wait(0);
  }
  EXPECT_EQ(lines.next(), std::string(1 << 16, 'x'));
  EXPECT_FALSE(lines.next());
}

}  // namespace
}  // namespace forerun
