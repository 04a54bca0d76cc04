#include "message_reader.h"

#include <gtest/gtest.h>

#include <vector>

namespace forerun {
namespace {

using Kind = Line::Kind;

// Gives the lines one by one, then the end; notes the prompts.
LineSource lines_of(std::vector<Line> lines, std::string* prompts = nullptr) {
  return [lines = std::move(lines), next = size_t{0}, prompts](const std::string& prompt) mutable {
    if (prompts != nullptr) *prompts += prompt;
    return next < lines.size() ? lines[next++] : Line{Kind::kEnd, ""};
  };
}

std::vector<std::string> messages_of(std::vector<Line> lines) {
  MessageReader reader(lines_of(std::move(lines)));
  std::vector<std::string> messages;
  for (Line line = reader.read(); line.kind != Kind::kEnd; line = reader.read()) {
    messages.push_back(line.kind == Kind::kText ? line.text : "interrupted");
  }
  return messages;
}

Line text(const std::string& text) {
  return {Kind::kText, text};
}

TEST(MessageReader, ALineIsAMessage) {
  EXPECT_EQ(messages_of({text("one"), text(""), text(" two\" ")}),
            (std::vector<std::string>{"one", "", " two\" "}));
}

TEST(MessageReader, ABackslashGoesOn) {
  EXPECT_EQ(messages_of({text("one\\"), text("two\\"), text("three"), text("four")}),
            (std::vector<std::string>{"one\ntwo\nthree", "four"}));
  EXPECT_EQ(messages_of({text("one\\")}), (std::vector<std::string>{"one\n"}));
}

TEST(MessageReader, QuotesHoldManyLines) {
  EXPECT_EQ(messages_of({text("\"\"\"one"), text("/two\\"), text(""), text("three\"\"\"")}),
            (std::vector<std::string>{"one\n/two\\\n\nthree"}));
  EXPECT_EQ(messages_of({text("\"\"\""), text("one"), text("\"\"\""), text("two")}),
            (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(messages_of({text("\"\"\"one\"\"\"")}), (std::vector<std::string>{"one"}));
  EXPECT_EQ(messages_of({text("\"\"\"one")}), (std::vector<std::string>{"one"}));
}

TEST(MessageReader, AnInterruptionDropsWhatWasBegun) {
  const Line interrupted{Kind::kInterrupted, ""};
  EXPECT_EQ(messages_of({text("one\\"), interrupted, text("two")}),
            (std::vector<std::string>{"interrupted", "two"}));
  EXPECT_EQ(messages_of({text("\"\"\"one"), interrupted, text("two")}),
            (std::vector<std::string>{"interrupted", "two"}));
}

TEST(MessageReader, ShowsWhetherAMessageGoesOn) {
  std::string prompts;
  MessageReader reader(lines_of({text("one\\"), text("two"), text("three")}, &prompts));
  reader.read();
  reader.read();
  EXPECT_EQ(prompts, "> . > ");
}

}  // namespace
}  // namespace forerun
