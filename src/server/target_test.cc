#include "server/target.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

Target parsed(std::string_view text) {
  Result<Target> target = parse_target(text);
  EXPECT_TRUE(target.ok()) << text;
  return target.ok() ? *std::move(target) : Target();
}

TEST(Target, IsAPathAndAQuery) {
  const Target target = parsed("/v1/models?limit=3&after=a%20b+c&flag&limit=4&=x&&");
  EXPECT_EQ(target.path, "/v1/models");
  const std::map<std::string, std::string> expected = {
      {"limit", "4"}, {"after", "a b c"}, {"flag", ""}, {"", "x"}};
  EXPECT_EQ(target.query, expected);
}

TEST(Target, LosesSlashesAtTheEndAndKeepsAPlus) {
  EXPECT_EQ(parsed("/").path, "/");
  EXPECT_EQ(parsed("///").path, "/");
  EXPECT_EQ(parsed("/health/").path, "/health");
  EXPECT_EQ(parsed("/a+b").path, "/a+b");
  EXPECT_EQ(parsed("/v1/models/org%2Fname").path, "/v1/models/org/name");
  EXPECT_EQ(parsed("/caf%C3%A9").path, "/caf\xC3\xA9");
}

TEST(Target, HasTheFormsOfProxiesAndOfOptions) {
  EXPECT_EQ(parsed("http://host:80/v1/models?a=b").path, "/v1/models");
  EXPECT_EQ(parsed("http://host").path, "/");
  EXPECT_EQ(parsed("http://host?a=b").query.at("a"), "b");
  EXPECT_EQ(parsed("*").path, "*");
  EXPECT_EQ(parsed("/a#b?c").path, "/a");
}

TEST(Target, RefusesWhatIsNoText) {
  for (const char* text : {"/%", "/%4", "/%zz", "/%00", "/%ff", "/\xff", "/?a=%f", "/?%c3=1",
                           "/?a=%00", "host:80", "v1"}) {
    EXPECT_FALSE(parse_target(text).ok()) << text;
  }
}

}  // namespace
}  // namespace forerun
