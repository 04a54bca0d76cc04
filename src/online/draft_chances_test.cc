#include "online/draft_chances.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace forerun {
namespace {

constexpr double kMemory = 0.7;

// A draft takes a tenth of a step, and so does its row.
std::array<double, DraftChances::kMostDepth + 1> dear_drafts() {
  std::array<double, DraftChances::kMostDepth + 1> seconds;
  for (int depth = 0; depth < std::ssize(seconds); ++depth) seconds[depth] = 1.0 + 0.2 * depth;
  return seconds;
}

// A thousand rounds of drafts that are right by these chances.
ReplayScore rounds(int depth, double first, double later) {
  ReplayScore score;
  double accepted = 1000.0;
  for (int place = 0; place < depth; ++place) {
    score.drafted_at[place] = 1000;
    accepted *= place == 0 ? first : later;
    score.accepted_at[place] = std::llround(accepted);
  }
  return score;
}

TEST(DraftChances, FindTheBestDepth) {
  DraftChances chances;
  chances.learn(rounds(3, 0.65, 0.65), /*kept=*/0.0);
  EXPECT_NEAR(chances.tokens_a_round(3), 1.0 + 0.65 + 0.65 * 0.65 + 0.65 * 0.65 * 0.65, 0.01);
  EXPECT_EQ(chances.best_depth(dear_drafts()), 2);
  chances.learn(rounds(2, 0.1, 0.1), /*kept=*/0.0);
  EXPECT_EQ(chances.best_depth(dear_drafts()), 0);
}

TEST(DraftChances, TryLongerDraftsAgain) {
  DraftChances chances;
  chances.learn(rounds(3, 0.65, 0.65), /*kept=*/0.0);
  // Other traffic, until drafts are short.
  int depth = 2;
  for (int batch = 0; batch < 10; ++batch) {
    chances.learn(rounds(depth, 0.25, 0.15), kMemory);
    depth = std::max(1, chances.best_depth(dear_drafts()));
  }
  ASSERT_EQ(depth, 1);
  // The old traffic again, of which short drafts tell the first place only.
  int batches = 0;
  for (; depth == 1 && batches < 100; ++batches) {
    chances.learn(rounds(depth, 0.65, 0.65), kMemory);
    depth = std::max(1, chances.best_depth(dear_drafts()));
  }
  EXPECT_LE(batches, 10);
  for (int batch = 0; batch < 10; ++batch) {
    chances.learn(rounds(depth, 0.65, 0.65), kMemory);
    depth = chances.best_depth(dear_drafts());
    EXPECT_EQ(depth, 2);
  }
}

TEST(DraftChances, NoDraftsTellNothing) {
  DraftChances chances;
  chances.learn(rounds(3, 0.65, 0.65), /*kept=*/0.0);
  const double before = chances.tokens_a_round(3);
  chances.learn(ReplayScore(), /*kept=*/0.0);
  EXPECT_EQ(chances.tokens_a_round(3), before);
}

}  // namespace
}  // namespace forerun
