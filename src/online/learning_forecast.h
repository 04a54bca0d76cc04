#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace forerun {

// What a head's training brings, before it is done: whether processors of its own are worth what
// they cost those who are served. Pure functions of what was measured.

// Heads are told by their tokens a round with so many drafts, as replay finds them, the target's
// own token included: that belongs to the head and the traffic, whatever steps cost.
constexpr int kForecastDrafts = 3;
constexpr int kMostForecastDrafts = 6;

// A candidate that the gate judged.
struct MeasuredHead {
  double trained_tokens = 0.0;
  double tokens_a_round = 1.0;  // with kForecastDrafts
  bool passed = false;
};

// Tokens a round over tokens trained on. Before anything is measured, what was measured on Day 0
// (docs/learning.md), of drafts of three: 1.46 after 15,000 tokens, 1.74 after 58,000, 1.82 after
// 102,000, 1.90 after 257,000, which 1 + 0.19 · ln(1 + tokens / 2000) meets within 0.1. So every
// e-fold of the tokens brings the same: returns diminish. Candidates correct the level and, over
// the last e-fold, the slope, by as much as their number and their spread tell: heads that get no
// better end it. So do three and more that fail one after the other: what cannot be proven better
// does not draft.
class LearningCurve final {
 public:
  static double prior(double trained_tokens);
  static double prior_tokens(double tokens_a_round);  // its inverse

  // `measured`: on this traffic, oldest first. `head_start`: tokens on this traffic that what was
  // learned before it is worth, beyond those trained so far; may be negative. `current`: of the
  // head that drafts, where there is one.
  LearningCurve(std::span<const MeasuredHead> measured, double trained_tokens, double head_start,
                std::optional<double> current);

  // After so many more tokens.
  double after(double more_tokens) const;

 private:
  double position_;  // tokens of this traffic, worth what is known by now
  double level_;     // tokens a round now
  double slope_;     // of these, an e-fold of the tokens
};

// Seconds of a round by the length of its drafts, these included, in any unit.
using RoundTimes = std::array<double, kMostForecastDrafts + 1>;

// How much faster than without drafts, at the length that suits them best: at least 1. Every draft
// is taken to be right as often as the one before it.
double best_speedup(double tokens_a_round, const RoundTimes& rounds);

// One of two ways to share the machine.
struct LearningMode {
  double trained_per_second = 0.0;  // tokens, where there are enough to train on
  RoundTimes rounds;
  double slowdown = 1.0;  // of the engine's steps without drafts, against all threads
};

struct ForecastInput {
  LearningCurve curve;
  double tokens_per_second = 0.0;     // that are served
  double busy = 0.0;                  // share of the time, 0 … 1
  double trainable_per_second = 0.0;  // tokens that come to be trained on, repetitions included
  double delay_seconds = 0.0;         // until what was trained drafts: a candidate and its verdict
  LearningMode idle;                  // learning takes what serving leaves over
  LearningMode own;                   // it has processors of its own, the engine fewer threads
};

// Over the next hour. Where the engine is not busy, faster or slower steps serve nothing: gains and
// costs count by the busy share, as though who is served then asked for more, or waited.
struct LearningForecast {
  double idle_tokens = 0.0;  // served at idle priority
  double tokens = 0.0;       // with the best plan: processors of its own for `minutes`, then none
  double minutes = 0.0;      // 0: at once none
  // Of the best plan that has some: against idle priority, in shares of its tokens.
  double gain = 0.0;
  double learned = 0.0;  // of it, by what is learned sooner
  double lost = 0.0;     // of it, by slower steps; at most 0
  double plan_minutes = 0.0;
};
LearningForecast forecast(const ForecastInput& input);

}  // namespace forerun
