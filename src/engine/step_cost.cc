#include "engine/step_cost.h"

#include <algorithm>
#include <cmath>

namespace forerun {
namespace {

// Weight of the newest step: a machine's drift shows within some twenty steps, one slow step
// hardly.
constexpr double kNewestWeight = 0.1;
// A step interrupted for long says nothing about the machine.
constexpr double kLeastRatio = 0.25;
constexpr double kMostRatio = 4.0;

}  // namespace

void StepCost::observe(int64_t rows, int64_t keys, double seconds) {
  const double predicted = predict(rows, keys);
  if (predicted <= 0.0) return;
  const double ratio = std::clamp(seconds / predicted, kLeastRatio, kMostRatio);
  scale_ = std::clamp(scale_ * (1.0 + kNewestWeight * (ratio - 1.0)), kLeastRatio, kMostRatio);
}

int64_t StepCost::rows_within(double budget_seconds, int64_t rows, int64_t keys,
                              int64_t first_keys) const {
  const double left = budget_seconds / scale_ - base_seconds_ -
                      row_seconds_ * static_cast<double>(rows) -
                      key_seconds_ * static_cast<double>(keys);
  // Row i attends to k + i + 1 keys, so r rows cost r·(b + c·(k + 1/2)) + c·r²/2.
  const double per_row = row_seconds_ + key_seconds_ * (static_cast<double>(first_keys) + 0.5);
  if (left <= 0.0 || per_row <= 0.0) return 0;
  const double half = key_seconds_ / 2.0;
  const double r = half > 0.0
                       ? (std::sqrt(per_row * per_row + 4.0 * half * left) - per_row) / (2.0 * half)
                       : left / per_row;
  return static_cast<int64_t>(std::min(r, 1e9));
}

}  // namespace forerun
