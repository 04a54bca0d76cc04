#include "spec/step_averages.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

constexpr StepTimes::Point kPoints[] = {{1, 4e-3}, {2, 4.1e-3}, {8, 5e-3}, {16, 9e-3}};

StepCost timed() {
  return StepCost({.by_rows = kPoints});
}

StepAverages averages() {
  return StepAverages(timed());
}

double seconds(const StepAverages& averages, int64_t rows) {
  return averages.cost_of(timed()).predict({.rows = rows});
}

TEST(StepAverages, BeginWithWhatWasTimed) {
  EXPECT_DOUBLE_EQ(seconds(averages(), 1), 4e-3);
  EXPECT_DOUBLE_EQ(seconds(averages(), 8), 5e-3);
}

TEST(StepAverages, ComeToWhatEachSizeTakes) {
  StepAverages learned = averages();
  for (int i = 0; i < 10'000; ++i) {
    learned.observe({.rows = 1}, 4e-3);
    learned.observe({.rows = 2}, 6e-3);
  }
  EXPECT_NEAR(seconds(learned, 1), 4e-3, 0.05e-3);
  EXPECT_NEAR(seconds(learned, 2), 6e-3, 0.1e-3);
}

// Whoever makes no drafts must not find them cheap as soon as others use the machine, too.
TEST(StepAverages, TakeSizesThatNobodyMadeToBeAsMuchSlower) {
  StepAverages learned = averages();
  for (int i = 0; i < 10'000; ++i) learned.observe({.rows = 1}, 6e-3);
  EXPECT_NEAR(seconds(learned, 1), 6e-3, 0.05e-3);
  EXPECT_NEAR(seconds(learned, 8), 7.5e-3, 0.1e-3);
}

TEST(StepAverages, ScaleAnotherTeamsTimings) {
  constexpr StepTimes::Point kSmaller[] = {{1, 7e-3}, {2, 8e-3}};
  StepAverages learned = averages();
  for (int i = 0; i < 10'000; ++i) {
    learned.observe({.rows = 1}, 8e-3);
    learned.observe({.rows = 2}, 12.3e-3);
  }
  const StepCost smaller = learned.cost_of(StepCost({.by_rows = kSmaller}));
  EXPECT_NEAR(smaller.predict({.rows = 1}), 14e-3, 0.1e-3);
  EXPECT_NEAR(smaller.predict({.rows = 2}), 24e-3, 0.2e-3);
}

TEST(StepAverages, PromptsSayNothingOfDrafts) {
  StepAverages learned = averages();
  for (int i = 0; i < 1'000; ++i) learned.observe({.rows = 256}, 10.0);
  EXPECT_DOUBLE_EQ(seconds(learned, 1), 4e-3);
}

TEST(StepAverages, AMomentMovesThemLittle) {
  StepAverages learned = averages();
  for (int i = 0; i < 1'000; ++i) learned.observe({.rows = 1}, 4e-3);
  for (int i = 0; i < 20; ++i) learned.observe({.rows = 1}, 1.0);
  EXPECT_LT(seconds(learned, 1), 1.1 * 4e-3);
}

TEST(StepAverages, FollowAMachineThatStaysSlower) {
  StepAverages learned = averages();
  for (int i = 0; i < 200'000; ++i) learned.observe({.rows = 1}, 4e-3);
  for (int i = 0; i < 200'000; ++i) learned.observe({.rows = 1}, 8e-3);
  EXPECT_GT(seconds(learned, 1), 1.8 * 4e-3);
}

}  // namespace
}  // namespace forerun
