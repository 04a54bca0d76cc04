#include "spec/draft_trial.h"

#include <algorithm>
#include <cmath>

namespace forerun {
namespace {

// Of a turn, its first one apart.
constexpr int kTurnSteps = 16;
// Comparisons before anything follows from them, and of which the gain is the mean.
constexpr int64_t kFirstCompared = 4;
constexpr int64_t kMostCompared = 32;
// A mean of fewer is clear only where it is so many standard errors from nothing.
constexpr int64_t kManyCompared = 16;
constexpr double kClearErrors = 2.0;
constexpr double kDoubtErrors = 0.5;
// One that is further from the mean than this was disturbed.
constexpr double kMostOff = 0.2;
// Turns between two others: few until something is known, then so many that the dearer way costs
// no more than this share of the time.
constexpr int kFirstTurnsBetween = 3;
constexpr int kLeastTurnsBetween = 7;
constexpr int kMostTurnsBetween = 255;
constexpr double kTrialShare = 0.003;

}  // namespace

void DraftTrial::observe(double plain_seconds, double seconds) {
  // A turn's first step catches up with what was not drafted for, or leaves it behind.
  if (turn_steps_ > 0) {
    turn_.plain_seconds += plain_seconds;
    turn_.seconds += seconds;
  }
  if (++turn_steps_ > kTurnSteps) end_turn();
}

MeasuredGain DraftTrial::measured() const {
  return {.speed_up = std::exp(gain_), .drafts = pays_, .compared = num_compared_};
}

void DraftTrial::end_turn() {
  const Turn turn = turn_;
  turn_ = {};
  turn_steps_ = 0;
  if (is_other_turn_) {
    is_other_turn_ = false;
    other_ = turn;
    return;
  }
  if (other_.seconds > 0.0) compare(turn);
  before_ = turn;
  if (--turns_left_ <= 0) is_other_turn_ = true;
}

// The other turn with those before and after it.
void DraftTrial::compare(const Turn& after) {
  const double usual =
      (before_.plain_seconds + after.plain_seconds) / (before_.seconds + after.seconds);
  const double faster = std::log(usual * other_.seconds / other_.plain_seconds);
  other_ = {};
  const double gain = pays_ ? faster : -faster;
  ++num_compared_;
  const auto weight = 1.0 / static_cast<double>(std::min(num_compared_, kMostCompared));
  // The first says as much as it does.
  const double off = num_compared_ == 1 ? gain : std::clamp(gain - gain_, -kMostOff, kMostOff);
  gain_ += weight * off;
  if (num_compared_ > 1) variance_ += weight * (off * off - variance_);
  decide();
}

void DraftTrial::decide() {
  turns_left_ = kFirstTurnsBetween;
  if (num_compared_ < kFirstCompared) return;
  const auto mean_of = static_cast<double>(std::min(num_compared_, kMostCompared));
  const double error = std::sqrt(variance_ / mean_of);
  // What seemed to pay is given up only where it surely does not: it is seldom looked at then.
  pays_ = gain_ >= (pays_ ? -kDoubtErrors * error : 0.0);
  if (num_compared_ < kManyCompared && std::abs(gain_) < kClearErrors * error) return;
  turns_left_ = static_cast<int>(
      std::clamp<double>(std::abs(gain_) / kTrialShare, kLeastTurnsBetween, kMostTurnsBetween));
}

}  // namespace forerun
