#include "spec/step_cost.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

constexpr StepTimes::Point kPoints[] = {{1, 4e-3}, {2, 4.1e-3}, {8, 5e-3}, {16, 9e-3}};

StepCost cost() {
  return StepCost({.by_rows = kPoints, .key_read_seconds = 1e-6, .row_key_seconds = 1e-7});
}

TEST(StepCost, PredictsWhatWasTimedAndLinesBetween) {
  EXPECT_DOUBLE_EQ(cost().predict({.rows = 1}), 4e-3);
  EXPECT_DOUBLE_EQ(cost().predict({.rows = 5}), 4.55e-3);
  EXPECT_DOUBLE_EQ(cost().predict({.rows = 16}), 9e-3);
  EXPECT_DOUBLE_EQ(cost().predict({.rows = 32}), 17e-3) << "the last line goes on";
  EXPECT_DOUBLE_EQ(cost().predict({.rows = 1, .keys_read = 500, .row_keys = 500}), 4.55e-3);
}

TEST(StepCost, MoreRowsNeverTakeLess) {
  constexpr StepTimes::Point kDisturbed[] = {{1, 4e-3}, {2, 9e-3}, {4, 5e-3}};
  const StepCost disturbed({.by_rows = kDisturbed});
  EXPECT_GE(disturbed.predict({.rows = 4}), disturbed.predict({.rows = 2}));
}

TEST(StepCost, OfOneTimingRowsAddUp) {
  const StepCost one({.by_rows = std::span(kPoints, 1)});
  EXPECT_DOUBLE_EQ(one.predict({.rows = 3}), 12e-3);
}

TEST(StepCost, RowsWithinFillTheBudgetAndNoMore) {
  for (const double budget : {8e-3, 16e-3, 100e-3}) {
    for (const int64_t depth : {0, 500, 4000}) {
      const StepWork work = {.rows = 2, .keys_read = 900, .row_keys = 900};
      const auto with = [&](int64_t more) {
        return cost().predict({.rows = 2 + more,
                               .keys_read = 900 + depth + more,
                               .row_keys = 900 + more * depth + more * (more + 1) / 2});
      };
      const int64_t rows = cost().rows_within(budget, work, depth);
      if (rows > 0) {
        EXPECT_LE(with(rows), budget);
      }
      EXPECT_GT(with(rows + 1), budget);
    }
  }
}

TEST(StepCost, GivesNoRowWhenNothingFits) {
  EXPECT_EQ(cost().rows_within(4e-3, {.rows = 3, .row_keys = 100}, 10), 0);
}

TEST(StepCost, FollowsTheMachineButNotOneSlowStep) {
  StepCost followed = cost();
  const StepWork work = {.rows = 1};
  const double before = followed.predict(work);
  followed.observe(work, 100.0);
  EXPECT_LT(followed.predict(work), 1.5 * before);
  for (int i = 0; i < 200; ++i) followed.observe(work, 2.0 * before);
  EXPECT_NEAR(followed.predict(work), 2.0 * before, 0.05 * before);
  EXPECT_GT(followed.predict({.rows = 8}), 1.5 * cost().predict({.rows = 8}))
      << "a slower machine is slower at any size";
}

TEST(StepCost, LearnsThatOneSizeWasTimedWrong) {
  StepCost followed = cost();
  for (int i = 0; i < 500; ++i) {
    followed.observe({.rows = 1}, 4e-3);
    followed.observe({.rows = 8}, 8e-3);
  }
  EXPECT_NEAR(followed.predict({.rows = 1}), 4e-3, 0.3e-3);
  EXPECT_NEAR(followed.predict({.rows = 8}), 8e-3, 0.6e-3);
}

}  // namespace
}  // namespace forerun
