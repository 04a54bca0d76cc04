#include "online/learning_forecast.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace forerun {
namespace {

constexpr double kPriorSlope = 0.19;
constexpr double kPriorTokens = 2000.0;
// How much the prior slope weighs: 64 conversations tell a head's tokens a round within 0.02, and
// slopes differ by 0.07 from one traffic to another, so the ratio of the variances.
constexpr double kPriorWeight = (0.02 * 0.02) / (0.07 * 0.07);
constexpr double kWindow = 1.0;  // e-folds
constexpr int kFailuresForgiven = 2;
constexpr double kMostTokens = 1.0 + kForecastDrafts - 0.05;
constexpr int kMinutes = 60;
constexpr double kSecondsPerMinute = 60.0;
constexpr std::array<int, 6> kPlans = {5, 10, 15, 20, 30, 60};  // minutes

double folds(double tokens) {
  return std::log1p(std::max(tokens, 0.0) / kPriorTokens);
}

struct Point {
  double folds;
  double tokens_a_round;
};

struct Line {
  double level = 0.0;
  double slope = 0.0;
};

// Least squares with the prior slope as one more observation, read at `at`.
Line fit(std::span<const Point> points, double at) {
  Point mean = {0.0, 0.0};
  for (const Point& point : points) {
    mean.folds += point.folds / static_cast<double>(points.size());
    mean.tokens_a_round += point.tokens_a_round / static_cast<double>(points.size());
  }
  double products = kPriorWeight * kPriorSlope;
  double squares = kPriorWeight;
  for (const Point& point : points) {
    const double off = point.folds - mean.folds;
    products += off * (point.tokens_a_round - mean.tokens_a_round);
    squares += off * off;
  }
  const double slope = std::max(products / squares, 0.0);
  return {mean.tokens_a_round + slope * (at - mean.folds), slope};
}

// What failures in a row leave of the hope for more.
double hope(std::span<const MeasuredHead> measured) {
  int failures = 0;
  for (auto it = measured.rbegin(); it != measured.rend() && !it->passed; ++it) ++failures;
  return std::pow(0.5, std::max(0, failures - kFailuresForgiven));
}

// The chance of each draft that makes so many tokens a round.
double chance_of(double tokens_a_round) {
  double low = 0.0;
  double high = 1.0;
  for (int i = 0; i < 40; ++i) {
    const double chance = (low + high) / 2.0;
    double tokens = 1.0;
    for (int draft = 0; draft < kForecastDrafts; ++draft) tokens = 1.0 + chance * tokens;
    (tokens < tokens_a_round ? low : high) = chance;
  }
  return low;
}

// Tokens served in the hour, the first `own_minutes` of it with processors for learning.
double served(const ForecastInput& input, int own_minutes) {
  const double now = best_speedup(input.curve.after(0.0), input.idle.rounds);
  const auto delay = static_cast<int>(std::min(input.delay_seconds / kSecondsPerMinute, 1e3));
  std::array<double, kMinutes + 1> trained = {};  // tokens, by the minute's begin
  double tokens = 0.0;
  for (int minute = 0; minute < kMinutes; ++minute) {
    const LearningMode& mode = minute < own_minutes ? input.own : input.idle;
    const double drafting = input.curve.after(trained[std::max(0, minute - delay)]);
    const double speed = best_speedup(drafting, mode.rounds) / (mode.slowdown * now);
    tokens += kSecondsPerMinute * input.tokens_per_second * (1.0 - input.busy + input.busy * speed);
    const double rate = std::min(mode.trained_per_second, input.trainable_per_second);
    trained[minute + 1] = trained[minute] + kSecondsPerMinute * rate;
  }
  return tokens;
}

}  // namespace

double LearningCurve::prior(double trained_tokens) {
  return std::min(1.0 + kPriorSlope * folds(trained_tokens), kMostTokens);
}

double LearningCurve::prior_tokens(double tokens_a_round) {
  return kPriorTokens * std::expm1(std::max(tokens_a_round - 1.0, 0.0) / kPriorSlope);
}

LearningCurve::LearningCurve(std::span<const MeasuredHead> measured, double trained_tokens,
                             double head_start, std::optional<double> current)
    : position_(std::max(0.0, trained_tokens + head_start)),
      level_(current.value_or(prior(position_))),
      slope_(kPriorSlope) {
  const double now = folds(position_);
  std::vector<Point> points;
  for (const MeasuredHead& one : measured) {
    const double at = folds(one.trained_tokens + head_start);
    if (at >= now - kWindow) points.push_back({at, one.tokens_a_round});
  }
  if (points.empty()) return;
  const Line line = fit(points, now);
  level_ = line.level;
  slope_ = line.slope * hope(measured);
}

double LearningCurve::after(double more_tokens) const {
  const double gained = slope_ * (folds(position_ + more_tokens) - folds(position_));
  return std::clamp(level_ + gained, 1.0, kMostTokens);
}

double best_speedup(double tokens_a_round, const RoundTimes& rounds) {
  const double chance = chance_of(tokens_a_round);
  double best = 1.0;
  double survival = 1.0;
  double tokens = 1.0;
  for (int drafts = 1; drafts <= kMostForecastDrafts; ++drafts) {
    survival *= chance;
    tokens += survival;
    best = std::max(best, tokens * rounds[0] / rounds[drafts]);
  }
  return best;
}

LearningForecast forecast(const ForecastInput& input) {
  LearningForecast made;
  made.idle_tokens = made.tokens = served(input, 0);
  if (made.idle_tokens <= 0.0) return made;
  double best = 0.0;
  for (const int minutes : kPlans) {
    const double tokens = served(input, minutes);
    if (tokens <= best) continue;
    best = tokens;
    made.plan_minutes = minutes;
  }
  if (best > made.idle_tokens) {
    made.tokens = best;
    made.minutes = made.plan_minutes;
  }
  // The same with steps as fast as those of all threads.
  ForecastInput undelayed = input;
  undelayed.own.slowdown = 1.0;
  undelayed.own.rounds = input.idle.rounds;
  const double learned = served(undelayed, static_cast<int>(made.plan_minutes));
  made.gain = best / made.idle_tokens - 1.0;
  made.learned = learned / made.idle_tokens - 1.0;
  made.lost = made.gain - made.learned;
  return made;
}

}  // namespace forerun
