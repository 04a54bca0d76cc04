#include "base/json.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(ParseJson, ReadsValues) {
  const Result<Json> json = parse_json(R"({"a": [1, 2.5, "x"]})");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ((*json)["a"][2], "x");
}

TEST(ParseJson, RefusesDeepNestingWithTheLimit) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  const Result<Json> json = parse_json(deep, /*max_depth=*/16);
  ASSERT_FALSE(json.ok());
  EXPECT_NE(json.error().message.find("16 levels"), std::string::npos);
  EXPECT_TRUE(parse_json("[[[]]]", /*max_depth=*/3).ok());
  EXPECT_FALSE(parse_json("[[[[]]]]", /*max_depth=*/3).ok());
}

TEST(ParseJson, SaysWhereTheSyntaxBreaks) {
  const Result<Json> json = parse_json(R"({"a": })");
  ASSERT_FALSE(json.ok());
  EXPECT_NE(json.error().message.find("byte 7"), std::string::npos) << json.error().message;
  EXPECT_FALSE(parse_json("\"\xff\"").ok());
  EXPECT_FALSE(parse_json("").ok());
}

TEST(ReadJsonFile, NamesAMissingFile) {
  const Result<Json> json = read_json_file("/nonexistent/x.json");
  ASSERT_FALSE(json.ok());
  EXPECT_NE(json.error().message.find("/nonexistent/x.json"), std::string::npos);
}

}  // namespace
}  // namespace forerun
