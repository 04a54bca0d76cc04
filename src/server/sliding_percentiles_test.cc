#include "server/sliding_percentiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace forerun {
namespace {

TEST(SlidingPercentiles, NothingObservedIsACountOfZero) {
  const SlidingPercentiles values;
  EXPECT_EQ(values.read(1000.0).count, 0);
}

TEST(SlidingPercentiles, AreWithinTheWidthOfABucket) {
  for (const double scale : {1e-5, 1e-3, 1.0, 100.0}) {
    SlidingPercentiles values;
    for (int i = 1; i <= 1000; ++i) values.observe(scale * i / 1000.0, 50.0);
    const Percentiles read = values.read(50.0);
    EXPECT_EQ(read.count, 1000);
    EXPECT_NEAR(read.p50 / scale, 0.50, 0.50 * 0.063);
    EXPECT_NEAR(read.p90 / scale, 0.90, 0.90 * 0.063);
    EXPECT_NEAR(read.p99 / scale, 0.99, 0.99 * 0.063);
  }
}

TEST(SlidingPercentiles, OneValueIsEveryPercentile) {
  SlidingPercentiles values;
  values.observe(0.25, 0.0);
  const Percentiles read = values.read(0.0);
  EXPECT_EQ(read.count, 1);
  EXPECT_NEAR(read.p50, 0.25, 0.25 / 16);
  EXPECT_NEAR(read.p99, 0.25, 0.25 / 16);
}

TEST(SlidingPercentiles, ForgetAfterAMinute) {
  SlidingPercentiles values;
  values.observe(8.0, 101.0);
  values.observe(1.0, 120.0);
  EXPECT_EQ(values.read(160.0).count, 2);
  EXPECT_EQ(values.read(170.0).count, 1);
  EXPECT_NEAR(values.read(170.0).p99, 1.0, 1.0 / 16);
  EXPECT_EQ(values.read(190.0).count, 0);
  // The same slice again, a round later.
  values.observe(2.0, 101.0 + 65.0);
  EXPECT_NEAR(values.read(190.0).p50, 2.0, 2.0 / 16);
  EXPECT_EQ(values.read(190.0).count, 1);
}

TEST(SlidingPercentiles, TakeAnyNumber) {
  SlidingPercentiles values;
  for (const double value : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity(), 1e300, 1e-300}) {
    values.observe(value, 5.0);
  }
  const Percentiles read = values.read(5.0);
  EXPECT_EQ(read.count, 6);
  EXPECT_TRUE(std::isfinite(read.p99));
}

}  // namespace
}  // namespace forerun
