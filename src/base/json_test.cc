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

TEST(CheckJsonLimits, CountsValues) {
  const JsonLimits limits = {.max_values = 6};
  EXPECT_TRUE(check_json_limits(R"({"a": [1, 2.5, "x", null]})", limits).ok());
  EXPECT_TRUE(check_json_limits("[[], [], {}, {}, -1]", limits).ok());
  for (const char* text : {R"({"a": [1, 2.5, "x", null, true]})", "[[],[],{},{},-1,{}]"}) {
    const Status status = check_json_limits(text, limits);
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_NE(status.error().message.find("limit of 6 values"), std::string::npos);
  }
}

std::string object_of(int names, const std::string& end = {}) {
  std::string text = "{";
  for (int i = 0; i < names; ++i) text += '"' + std::to_string(i) + end + "\":0,";
  text.back() = '}';
  return text;
}

TEST(CheckJsonLimits, CountsComparisonsOfNames) {
  const JsonLimits limits = {.max_comparisons = 45};  // 0 + 1 + … + 9
  EXPECT_TRUE(check_json_limits(object_of(10), limits).ok());
  EXPECT_FALSE(check_json_limits(object_of(11), limits).ok());
  EXPECT_FALSE(check_json_limits(object_of(10, std::string(64, 'x')), limits).ok());
  // Names of another object, beside or inside, are no company.
  EXPECT_TRUE(check_json_limits("[" + object_of(5) + "," + object_of(6) + "]", limits).ok());
  EXPECT_TRUE(check_json_limits(R"({"x":)" + object_of(9) + R"(,"y":0})", limits).ok());
  EXPECT_FALSE(check_json_limits("[" + object_of(8) + "," + object_of(8) + "]", limits).ok());
}

TEST(CheckJsonLimits, WhatIsNoJsonIsNoMatterOfItsOwn) {
  for (const char* text : {"", "{", "[1,", "nope", "]", "{\"a\":1e999}"}) {
    EXPECT_TRUE(check_json_limits(text, {}).ok()) << text;
  }
  EXPECT_FALSE(check_json_limits("[[[[", {.max_depth = 3}).ok());
}

TEST(ParseJson, ListsOfManyObjectsTakeNoLongerThanOthers) {
  std::string text = "[{}";
  for (int i = 0; i < 1'000'000; ++i) text += ",{}";
  const Result<Json> json = parse_json(text + "]");  // minutes, were it quadratic
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->size(), 1'000'001);
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
