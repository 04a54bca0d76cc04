#include "spec/draft_budget.h"

#include <gtest/gtest.h>

#include <cmath>

namespace forerun {
namespace {

// Eight rows cost hardly more than one, every further one much.
constexpr StepTimes::Point kPoints[] = {{1, 4e-3}, {8, 4.7e-3}, {16, 9e-3}, {32, 17e-3}};
StepCost flat_to_eight() {
  return StepCost({.by_rows = kPoints});
}

std::vector<float> survival_of(float probability, int count) {
  std::vector<float> survival;
  for (int i = 0; i < count; ++i) survival.push_back(std::pow(probability, i + 1.0f));
  return survival;
}

struct Case {
  std::vector<float> probabilities;  // of each sequence's tokens
  int64_t other_rows = 0;            // prefill
  double max_seconds = 1.0;
  int64_t max_rows = 64;
};

std::vector<int> lengths_of(const Case& wanted, const StepCost& cost = flat_to_eight()) {
  std::vector<std::vector<float>> survivals;
  for (const float p : wanted.probabilities) survivals.push_back(survival_of(p, 24));
  std::vector<DraftCurve> curves;
  for (const auto& survival : survivals) curves.push_back({survival, /*keys=*/10, 0});
  std::vector<int32_t> order;
  const auto sequences = static_cast<int64_t>(curves.size());
  choose_lengths({.tokens = static_cast<double>(sequences),
                  .decoding = {.rows = sequences},
                  .work = {.rows = sequences + wanted.other_rows},
                  .max_seconds = wanted.max_seconds,
                  .max_rows = wanted.max_rows},
                 cost, curves, order);
  std::vector<int> lengths;
  for (const DraftCurve& curve : curves) lengths.push_back(curve.length);
  return lengths;
}

TEST(DraftBudget, FillsTheRowsThatCostLittle) {
  EXPECT_EQ(lengths_of({.probabilities = {0.8f}}), std::vector<int>{7});
}

TEST(DraftBudget, GoesOnWhereTokensAreNearlyCertain) {
  constexpr StepTimes::Point kCheap[] = {{1, 4e-3}, {32, 8e-3}};
  EXPECT_EQ(lengths_of({.probabilities = {0.99f}}, StepCost({.by_rows = kCheap})),
            std::vector<int>{24});
}

TEST(DraftBudget, GivesNothingToWhatWillHardlyCome) {
  EXPECT_EQ(lengths_of({.probabilities = {0.03f}}), std::vector<int>{0});
}

TEST(DraftBudget, RowsGoWhereTheySurvive) {
  const std::vector<int> lengths = lengths_of({.probabilities = {0.9f, 0.3f, 0.9f}});
  EXPECT_GT(lengths[0], lengths[1]);
  EXPECT_NEAR(lengths[0] + lengths[1] + lengths[2], 5, 1) << "and eight rows are to be had";
}

// A row costs 0.5 ms there, an eighth of a step that only decodes.
TEST(DraftBudget, RowsBesidePrefillHaveToPayForThemselves) {
  EXPECT_EQ(lengths_of({.probabilities = {0.5f}, .other_rows = 20}), std::vector<int>{2});
  EXPECT_EQ(lengths_of({.probabilities = {0.1f}, .other_rows = 20}), std::vector<int>{0});
}

TEST(DraftBudget, KeepsTheLimits) {
  EXPECT_EQ(lengths_of({.probabilities = {0.99f}, .max_rows = 5}), std::vector<int>{5});
  EXPECT_EQ(lengths_of({.probabilities = {0.99f}, .max_rows = 0}), std::vector<int>{0});
  EXPECT_EQ(lengths_of({.probabilities = {0.99f}, .max_seconds = 4.45e-3}), std::vector<int>{4});
}

TEST(DraftBudget, NothingWithoutDraftsOrACost) {
  EXPECT_EQ(lengths_of({}), std::vector<int>{});
  EXPECT_EQ(lengths_of({.probabilities = {0.9f}}, StepCost()), std::vector<int>{0});
}

// Against all ways to cut two drafts.
TEST(DraftBudget, NoOtherLengthsAreBetter) {
  const StepCost cost = flat_to_eight();
  for (const float p : {0.2f, 0.5f, 0.7f, 0.85f, 0.95f}) {
    for (const float q : {0.1f, 0.6f, 0.9f}) {
      const std::vector<int> chosen = lengths_of({.probabilities = {p, q}});
      const auto rate = [&](int i, int k) {
        double tokens = 2.0;
        for (int x = 1; x <= i; ++x) tokens += std::pow(p, x);
        for (int x = 1; x <= k; ++x) tokens += std::pow(q, x);
        return tokens / cost.predict({.rows = 2 + i + k});
      };
      double best = 0.0;
      for (int i = 0; i <= 24; ++i) {
        for (int k = 0; k <= 24; ++k) best = std::max(best, rate(i, k));
      }
      EXPECT_GE(rate(chosen[0], chosen[1]) * 1.0301, best) << p << " " << q;
    }
  }
}

}  // namespace
}  // namespace forerun
