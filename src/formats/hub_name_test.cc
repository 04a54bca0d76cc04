#include "formats/hub_name.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(HubName, TakesRepositoriesFilesAndRevisions) {
  const HubName plain = *HubName::parse("Qwen/Qwen3-0.6B");
  EXPECT_EQ(plain.organisation, "Qwen");
  EXPECT_EQ(plain.name, "Qwen3-0.6B");
  EXPECT_EQ(plain.file, "");
  EXPECT_EQ(plain.revision, "main");
  const HubName whole = *HubName::parse("a/b:Q4/c-00001-of-00002.gguf@refs/pr/1");
  EXPECT_EQ(whole.repository(), "a/b");
  EXPECT_EQ(whole.file, "Q4/c-00001-of-00002.gguf");
  EXPECT_EQ(whole.revision, "refs/pr/1");
  for (const char* text : {"a/b", "a/b:c.gguf", "a/b@v1.0", "a/b:c/d.gguf@x"}) {
    EXPECT_EQ(HubName::parse(text)->text(), text);
  }
}

TEST(HubName, RefusesWhatIsNoName) {
  for (const char* text :
       {"",         "a",       "a/",      "/b",         "/a/b",   "a/b/c",    "../b",   "a/..",
        "a/.b",     "./a",     "a//b",    "a/b:",       "a/b@",   "a/b:../c", "a/b:/c", "a/b:c//d",
        "a/b:c/",   "a/b:.c",  "a/b@..",  "a/b@x/../y", "a b/c",  "a/b?c",    "a/b#c",  "a\\b/c",
        "a/b:c\nd", "a/b@x@y", "a/b:c:d", "-a/b",       "a/b%2e", "a/b:é",    "~/a"}) {
    EXPECT_FALSE(HubName::parse(text).ok()) << text;
  }
  EXPECT_FALSE(HubName::parse("a/" + std::string(129, 'b')).ok());
  EXPECT_TRUE(HubName::parse("../b").error().message.starts_with("'../b' is no name of a model"));
}

TEST(HubName, KnowsPathsThatLeaveTheirFolder) {
  for (const char* path : {"a", "a/b", ".gitattributes", "my pics/é (1).png", "a..b"}) {
    EXPECT_TRUE(is_inside_path(path)) << path;
  }
  for (const char* path : {"", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/.", "a\\b", "a\nb"}) {
    EXPECT_FALSE(is_inside_path(path)) << path;
  }
}

TEST(HubName, KnowsCommits) {
  EXPECT_TRUE(is_commit(std::string(40, 'a')));
  EXPECT_FALSE(is_commit(std::string(40, 'A')));
  EXPECT_FALSE(is_commit(std::string(39, 'a')));
  EXPECT_FALSE(is_commit(std::string(38, 'a') + "/."));
}

}  // namespace
}  // namespace forerun
