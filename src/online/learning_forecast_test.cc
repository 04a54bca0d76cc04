#include "online/learning_forecast.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace forerun {
namespace {

// Where weights are read from memory a draft costs little to verify; where many decode together
// every row costs.
constexpr RoundTimes kAlone = {1.0, 1.12, 1.24, 1.36, 1.48, 1.60, 1.72};
constexpr RoundTimes kTogether = {1.0, 2.05, 3.10, 4.15, 5.20, 6.25, 7.30};

// A saturated server, one sequence at a time, whose traffic brings more than idle priority trains.
ForecastInput saturated() {
  return {.curve = LearningCurve({}, 0.0, 0.0, std::nullopt),
          .tokens_per_second = 200.0,
          .busy = 1.0,
          .trainable_per_second = 350.0,
          .idle = {.trained_per_second = 10.0, .rounds = kAlone},
          .own = {.trained_per_second = 300.0, .rounds = kAlone, .slowdown = 1.04}};
}

// Candidates so many tokens apart.
std::vector<MeasuredHead> heads(int count, double first, double apart, double (*length)(double),
                                bool passed = true) {
  std::vector<MeasuredHead> made;
  for (int i = 0; i < count; ++i) {
    const double trained = first + apart * i;
    made.push_back({trained, length(trained), passed});
  }
  return made;
}

TEST(LearningCurve, BeginsWithWhatWasMeasuredOnDay0) {
  EXPECT_DOUBLE_EQ(LearningCurve::prior(0.0), 1.0);
  EXPECT_NEAR(LearningCurve::prior(15e3), 1.46, 0.1);
  EXPECT_NEAR(LearningCurve::prior(58e3), 1.74, 0.1);
  EXPECT_NEAR(LearningCurve::prior(102e3), 1.82, 0.1);
  EXPECT_NEAR(LearningCurve::prior(257e3), 1.90, 0.1);
  EXPECT_LT(LearningCurve::prior(1e30), 4.0) << "no more than all drafts right";
  for (const double tokens : {0.0, 500.0, 77e3, 361e3}) {
    EXPECT_NEAR(LearningCurve::prior_tokens(LearningCurve::prior(tokens)), tokens,
                1e-6 * tokens + 1e-6);
  }
  const LearningCurve fresh({}, 0.0, 0.0, std::nullopt);
  EXPECT_DOUBLE_EQ(fresh.after(77e3), LearningCurve::prior(77e3));
}

TEST(LearningCurve, FollowsWhatCandidatesCameTo) {
  const auto steep = [](double n) { return 1.1 + 0.25 * std::log1p(n / 2000.0); };
  const auto measured = heads(10, 40e3, 10e3, steep);
  const LearningCurve curve(measured, 130e3, 0.0, 1.9);
  EXPECT_NEAR(curve.after(0.0), steep(130e3), 0.01);
  // A tenth of an e-fold in, the prior still has its part in the slope.
  EXPECT_GT(curve.after(130e3) - curve.after(0.0), 0.14);
  EXPECT_LT(curve.after(130e3) - curve.after(0.0), steep(260e3) - steep(130e3));
}

TEST(LearningCurve, FlatOnesPromiseNothing) {
  const auto flat = [](double) { return 1.4; };
  // Over less than an e-fold, and over more of it.
  const LearningCurve curve(heads(20, 150e3, 13e3, flat), 400e3, 0.0, 1.4);
  EXPECT_NEAR(curve.after(0.0), 1.4, 0.02);
  EXPECT_LT(curve.after(1e6) - curve.after(0.0), 0.02);
  const auto falling = [](double n) { return 2.0 - 1e-6 * n; };
  const LearningCurve worse(heads(20, 150e3, 13e3, falling), 400e3, 0.0, 1.4);
  EXPECT_DOUBLE_EQ(worse.after(1e6), worse.after(0.0));
}

TEST(LearningCurve, WhatKeepsFailingPromisesLess) {
  const auto rising = [](double n) { return LearningCurve::prior(n); };
  const auto gain = [&](int failures) {
    std::vector<MeasuredHead> measured = heads(12, 60e3, 10e3, rising);
    for (int i = 0; i < failures; ++i) measured[11 - i].passed = false;
    const LearningCurve curve(measured, 180e3, 0.0, 1.4);
    return curve.after(1e6) - curve.after(0.0);
  };
  EXPECT_DOUBLE_EQ(gain(2), gain(0)) << "some always fail";
  EXPECT_NEAR(gain(3), gain(0) / 2.0, 1e-9);
  EXPECT_NEAR(gain(6), gain(0) / 16.0, 1e-9);
}

TEST(BestSpeedup, IsNoneWhereDraftsDoNotPay) {
  EXPECT_DOUBLE_EQ(best_speedup(1.0, kAlone), 1.0);
  EXPECT_DOUBLE_EQ(best_speedup(1.5, kTogether), 1.0);
  EXPECT_GT(best_speedup(1.5, kAlone), 1.15);
  EXPECT_GT(best_speedup(2.5, kAlone), best_speedup(1.5, kAlone));
}

TEST(BestSpeedup, TakesTheLengthThatSuits) {
  // One draft right every other time: 1.5 tokens; three: 1.875, what they are told by.
  constexpr RoundTimes kOnlyOne = {1.0, 1.1, 9.0, 9.0, 9.0, 9.0, 9.0};
  EXPECT_NEAR(best_speedup(1.875, kOnlyOne), 1.5 / 1.1, 1e-6);
}

TEST(Forecast, SaturatedAloneItPays) {
  const LearningForecast made = forecast(saturated());
  EXPECT_GT(made.gain, 0.03);
  EXPECT_GT(made.learned, made.gain);
  EXPECT_NEAR(made.learned + made.lost, made.gain, 1e-12);
  EXPECT_LT(made.lost, 0.0);
  EXPECT_GT(made.minutes, 0.0);
  EXPECT_NEAR(made.tokens / made.idle_tokens, 1.0 + made.gain, 1e-12);
  EXPECT_GT(made.idle_tokens, 3600.0 * 200.0);
}

TEST(Forecast, SlowerStepsAreWeighedAgainstIt) {
  ForecastInput input = saturated();
  const double minutes = forecast(input).minutes;
  // Worth some minutes: most is learned first.
  input.own.slowdown = 2.0;
  const LearningForecast some = forecast(input);
  EXPECT_LT(some.gain, forecast(saturated()).gain);
  EXPECT_GT(some.minutes, 0.0);
  EXPECT_LT(some.minutes, minutes);
  // Where much is learned already, not even that.
  input.curve = LearningCurve({}, 361e3, 0.0, std::nullopt);
  const LearningForecast made = forecast(input);
  EXPECT_LT(made.gain, 0.0);
  EXPECT_EQ(made.minutes, 0.0);
  EXPECT_EQ(made.tokens, made.idle_tokens);
}

TEST(Forecast, WhatIsTrainedDraftsOnceItIsJudged) {
  ForecastInput input = saturated();
  double last = forecast(input).learned;
  for (const double minutes : {5.0, 20.0, 50.0}) {
    input.delay_seconds = 60.0 * minutes;
    const double learned = forecast(input).learned;
    EXPECT_LT(learned, last) << minutes;
    last = learned;
  }
  input.delay_seconds = 1e9;
  EXPECT_LT(forecast(input).gain, 0.0) << "nobody ever judges";
}

TEST(Forecast, SaturatedTogetherItDoesNot) {
  ForecastInput input = saturated();
  input.idle.rounds = input.own.rounds = kTogether;
  const LearningForecast made = forecast(input);
  EXPECT_LT(made.gain, 0.0);
  EXPECT_DOUBLE_EQ(made.learned, 0.0);
}

TEST(Forecast, AnIdleServersDoesNotNeedIt) {
  ForecastInput input = saturated();
  input.busy = 0.0;
  EXPECT_DOUBLE_EQ(forecast(input).gain, 0.0);
  // A twentieth of the time busy: idle priority trains nearly as fast, on what little comes.
  input.busy = 0.05;
  input.tokens_per_second = 10.0;
  input.trainable_per_second = 17.5;
  input.idle.trained_per_second = 280.0;
  EXPECT_LT(forecast(input).gain, 0.0);
  input = saturated();
  input.tokens_per_second = 0.0;
  EXPECT_EQ(forecast(input).minutes, 0.0);
}

TEST(Forecast, NobodyTrainsOnMoreThanComes) {
  ForecastInput input = saturated();
  input.trainable_per_second = 9.0;  // which idle priority trains as well
  const LearningForecast made = forecast(input);
  EXPECT_DOUBLE_EQ(made.learned, 0.0);
  EXPECT_LT(made.gain, 0.0);
}

TEST(Forecast, ReturnsDiminish) {
  ForecastInput input = saturated();
  double last = 1.0;
  for (const double trained : {0.0, 1e5, 1e6, 1e7, 1e8}) {
    input.curve = LearningCurve({}, trained, 0.0, std::nullopt);
    const double learned = forecast(input).learned;
    EXPECT_LT(learned, last) << trained;
    last = learned;
  }
  EXPECT_LT(last, 0.002);
}

}  // namespace
}  // namespace forerun
