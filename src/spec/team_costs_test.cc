#include "spec/team_costs.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

StepCost row_takes(double seconds) {
  const StepTimes::Point points[] = {{1, seconds}};
  return StepCost({.by_rows = points, .row_key_seconds = 1e-9});
}

constexpr StepWork kRow = {.rows = 1};

TeamCosts costs() {
  TeamCosts made(8, row_takes(1e-3));
  made.add(4, row_takes(1.5e-3));
  return made;
}

TEST(TeamCosts, AreThoseThatWereTimed) {
  EXPECT_DOUBLE_EQ(costs().timed(8).predict(kRow), 1e-3);
  EXPECT_DOUBLE_EQ(costs().timed(4).predict(kRow), 1.5e-3);
  EXPECT_DOUBLE_EQ(costs().scaled(0.1).timed(4).predict(kRow), 1.5e-4);
}

TEST(TeamCosts, OfOtherSizesTheNextLargersWorkIsDivided) {
  EXPECT_DOUBLE_EQ(costs().timed(2).predict(kRow), 3e-3);
  EXPECT_DOUBLE_EQ(costs().timed(5).predict(kRow), 1.6e-3);
  EXPECT_DOUBLE_EQ(costs().timed(16).predict(kRow), 0.5e-3);
}

TEST(TeamCosts, WhatOneSizeHasLearnedSpoilsNoOther) {
  TeamCosts both = costs();
  StepCost now = both.timed(8);
  for (int i = 0; i < 100; ++i) now.observe(kRow, 2e-3);
  const double learned = now.predict(kRow);
  EXPECT_NEAR(learned, 2e-3, 1e-4);
  now = both.exchange(8, now, 4);
  EXPECT_DOUBLE_EQ(now.predict(kRow), 1.5e-3);
  for (int i = 0; i < 100; ++i) now.observe(kRow, 6e-3);
  now = both.exchange(4, now, 8);
  EXPECT_DOUBLE_EQ(now.predict(kRow), learned);
  now = both.exchange(8, now, 4);
  EXPECT_NEAR(now.predict(kRow), 6e-3, 3e-4);
  EXPECT_DOUBLE_EQ(both.timed(4).predict(kRow), 1.5e-3);
}

}  // namespace
}  // namespace forerun
