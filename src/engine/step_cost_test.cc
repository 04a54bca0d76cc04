#include "engine/step_cost.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(StepCost, RowsWithinFillTheBudgetAndNoMore) {
  const StepCost cost(4e-3, 0.5e-3, 1e-7);
  for (const double budget : {8e-3, 16e-3, 100e-3}) {
    for (const int64_t depth : {0, 500, 4000}) {
      const int64_t rows = cost.rows_within(budget, 2, 900, depth);
      const auto keys = [&](int64_t r) { return 900 + r * depth + r * (r + 1) / 2; };
      EXPECT_LE(cost.predict(2 + rows, keys(rows)), budget * (1.0 + 1e-12));
      EXPECT_GT(cost.predict(2 + rows + 1, keys(rows + 1)), budget);
    }
  }
}

TEST(StepCost, GivesNoRowWhenNothingFits) {
  EXPECT_EQ(StepCost(1.0, 1.0, 1.0).rows_within(0.5, 3, 100, 10), 0);
}

TEST(StepCost, FollowsTheMachineButNotOneSlowStep) {
  StepCost cost(4e-3, 1e-3, 0.0);
  const double before = cost.predict(1, 0);
  cost.observe(1, 0, 100.0);
  EXPECT_LT(cost.predict(1, 0), 1.4 * before);
  for (int i = 0; i < 100; ++i) cost.observe(1, 0, 2.0 * before);
  EXPECT_NEAR(cost.predict(1, 0), 2.0 * before, 0.05 * before);
}

}  // namespace
}  // namespace forerun
