#include "text/json_scanner.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json.h"

namespace forerun {
namespace {

// How many bytes the value takes; −1 for an error, −2 where the text ends inside it.
int value_bytes(std::string_view text) {
  JsonScanner scanner;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (scanner.push(text[i])) {
      case JsonScanner::Step::kMore:
        break;
      case JsonScanner::Step::kDone:
        return static_cast<int>(i) + 1;
      case JsonScanner::Step::kAfter:
        return static_cast<int>(i);
      case JsonScanner::Step::kError:
        return -1;
    }
  }
  return -2;
}

TEST(JsonScanner, FindsTheEndOfAValue) {
  EXPECT_EQ(value_bytes("{}x"), 2);
  EXPECT_EQ(value_bytes(" [1, {\"a\": \"]}\\\"\"}] y"), 19);
  EXPECT_EQ(value_bytes("\"\\u00e9\" "), 8);
  EXPECT_EQ(value_bytes("-1.5e+3,"), 7);
  EXPECT_EQ(value_bytes("0}"), 1);
  EXPECT_EQ(value_bytes("nullx"), 4);
}

TEST(JsonScanner, LimitsDepth) {
  EXPECT_EQ(value_bytes(std::string(64, '[') + std::string(64, ']')), 128);
  EXPECT_EQ(value_bytes(std::string(65, '[')), -1);
}

// Every text of up to `length` letters of an alphabet, against the library's parser. Returns how
// many are JSON.
size_t compare_with_parser(const std::string& alphabet, int length) {
  size_t taken = 0;
  std::vector<std::string> texts = {""};
  for (size_t begin = 0; length > 0; --length) {
    const size_t end = texts.size();
    for (; begin < end; ++begin) {
      for (const char letter : alphabet) {
        const std::string text = texts[begin] + letter;
        // A newline ends a number and is white space otherwise.
        const int bytes = value_bytes(text + "\n");
        const bool whole = bytes >= 0 && text.find_first_not_of(' ', static_cast<size_t>(bytes)) ==
                                             std::string::npos;
        EXPECT_EQ(whole, Json::accept(text)) << text;
        taken += whole ? 1 : 0;
        texts.push_back(text);
      }
    }
  }
  return taken;
}

TEST(JsonScanner, AgreesWithTheParserOnEveryShortText) {
  EXPECT_GT(compare_with_parser("{}[],:\"0-.e1 t", 4), 300u);
  EXPECT_GT(compare_with_parser("{}:,\"1", 6), 100u);
}

TEST(JsonScanner, RefusesWhatTheParserRefuses) {
  for (const char* text : {"{\"a\" 1}", "{\"a\":1,}", "[1,]", "{a:1}", "'a'", "\"\n\"", "\"\\x\"",
                           "\"\\u12g4\"", "tru ", "+1", "[1}", "{\"a\":1]", "01 ", "1.e ", "nan"}) {
    EXPECT_EQ(value_bytes(text), -1) << text;
  }
  EXPECT_EQ(value_bytes("{\"a\""), -2);
}

}  // namespace
}  // namespace forerun
