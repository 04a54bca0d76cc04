#include "base/edit_distance.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(EditDistance, CountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("promtp", "prompt"), 1);  // neighbours swapped
  EXPECT_EQ(edit_distance("ca", "abc"), 3);         // no part is changed twice
}

TEST(ByNearness, PutsTheNearestFirst) {
  const std::vector<std::string> names = {"qwen3-0.6b", "smollm2-360m", "smollm2-135m"};
  EXPECT_EQ(by_nearness("smollm-135m", names),
            (std::vector<std::string>{"smollm2-135m", "smollm2-360m", "qwen3-0.6b"}));
}

TEST(ProbablyMeant, KeepsSilentWhenNothingIsNear) {
  const std::vector<std::string> names = {"--prompt", "--json", "-p"};
  EXPECT_EQ(probably_meant("--promt", names), "--prompt");
  EXPECT_EQ(probably_meant("--jsno", names), "--json");
  EXPECT_EQ(probably_meant("--temperature", names), std::nullopt);
  EXPECT_EQ(probably_meant("xy", names), std::nullopt);
  EXPECT_EQ(probably_meant("x", {}), std::nullopt);
}

}  // namespace
}  // namespace forerun
