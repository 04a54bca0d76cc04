#include "spec/acceptance.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

constexpr Evidence kLong = {DraftSource::kHistory, 20, 1.0f};
constexpr Evidence kShort = {DraftSource::kHistory, 1, 0.5f};

// Shows outcomes of which `accepted` of ten are good.
void show(Acceptance& acceptance, const Evidence& evidence, int position, int accepted, int tens) {
  for (int i = 0; i < 10 * tens; ++i) {
    acceptance.observe(evidence, position, i * 7 % 10 < accepted);
  }
}

TEST(Acceptance, GuessesByMatchAndShareAtFirst) {
  const Acceptance acceptance;
  EXPECT_GT(acceptance.probability(kLong, 0), acceptance.probability(kShort, 0) + 0.3);
  EXPECT_GT(acceptance.probability({DraftSource::kPrediction, 0, 1.0f}, 0), 0.5);
}

TEST(Acceptance, LearnsEachKindByItself) {
  Acceptance acceptance;
  show(acceptance, kLong, 0, 9, 20);
  show(acceptance, kShort, 0, 2, 20);
  EXPECT_NEAR(acceptance.probability(kLong, 0), 0.9, 0.03);
  EXPECT_NEAR(acceptance.probability(kShort, 0), 0.2, 0.03);
  EXPECT_NEAR(acceptance.probability({DraftSource::kHistory, 31, 0.96f}, 0), 0.9, 0.03)
      << "the same class";
}

TEST(Acceptance, APlaceHardlySeenHasTheRateOfItsKind) {
  Acceptance acceptance;
  show(acceptance, kLong, 0, 3, 20);
  EXPECT_NEAR(acceptance.probability(kLong, 10), 0.3, 0.05);
  show(acceptance, kLong, 10, 9, 20);
  EXPECT_NEAR(acceptance.probability(kLong, 10), 0.9, 0.05);
  EXPECT_NEAR(acceptance.probability(kLong, 0), 0.3, 0.05);
}

TEST(Acceptance, FollowsAChange) {
  Acceptance acceptance;
  show(acceptance, kLong, 0, 9, 200);
  show(acceptance, kLong, 0, 1, 60);
  EXPECT_NEAR(acceptance.probability(kLong, 0), 0.1, 0.1);
}

TEST(Acceptance, IsNeverCertain) {
  Acceptance acceptance;
  show(acceptance, kLong, 0, 10, 100);
  show(acceptance, kShort, 0, 0, 100);
  EXPECT_LT(acceptance.probability(kLong, 0), 1.0);
  EXPECT_GT(acceptance.probability(kShort, 0), 0.0);
}

}  // namespace
}  // namespace forerun
