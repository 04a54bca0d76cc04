#include "spec/step_cost.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace forerun {
namespace {

// Weights of the newest step. A machine's drift shows within some twenty steps, one slow step
// hardly; what was timed wrong stays wrong.
constexpr double kMachineWeight = 0.1;
constexpr double kSizeWeight = 0.05;
// A step interrupted for long says nothing about the machine.
constexpr double kLeastRatio = 0.25;
constexpr double kMostRatio = 4.0;

double moved(double scale, double ratio, double weight) {
  return std::clamp(scale * (1.0 + weight * (ratio - 1.0)), kLeastRatio, kMostRatio);
}

}  // namespace

StepCost::StepCost(const StepTimes& times)
    : num_points_(static_cast<int>(times.by_rows.size())),
      key_read_seconds_(times.key_read_seconds),
      row_key_seconds_(times.row_key_seconds) {
  CHECK(num_points_ > 0 && num_points_ <= kMaxPoints && times.by_rows[0].rows == 1,
        "a step's cost is made of some points, the first of one row");
  std::ranges::copy(times.by_rows, points_.begin());
  // More rows never take less: what looks so was a disturbed timing.
  for (int i = 1; i < num_points_; ++i) {
    points_[i].seconds = std::max(points_[i].seconds, points_[i - 1].seconds);
  }
  size_scale_.fill(1.0);
}

int StepCost::size_of(int64_t rows) {
  const auto width = std::bit_width(static_cast<uint64_t>(std::max<int64_t>(rows, 1) - 1));
  return std::min(static_cast<int>(width), kSizes - 1);
}

double StepCost::unscaled_rows(int64_t rows) const {
  if (num_points_ == 1) return points_[0].seconds * static_cast<double>(std::max<int64_t>(rows, 1));
  int i = 1;
  while (i + 1 < num_points_ && points_[i].rows < rows) ++i;
  const StepTimes::Point& a = points_[i - 1];
  const StepTimes::Point& b = points_[i];
  const double share = static_cast<double>(std::max<int64_t>(rows, 1) - a.rows) /
                       static_cast<double>(b.rows - a.rows);
  return a.seconds + share * (b.seconds - a.seconds);
}

double StepCost::timed(const StepWork& work) const {
  if (num_points_ == 0) return 0.0;
  return unscaled_rows(work.rows) + key_read_seconds_ * static_cast<double>(work.keys_read) +
         row_key_seconds_ * static_cast<double>(work.row_keys);
}

double StepCost::predict(const StepWork& work) const {
  return num_points_ == 0 ? 0.0 : scale_ * size_scale_[size_of(work.rows)] * timed(work);
}

StepCost StepCost::scaled(double factor) const {
  StepCost cost = *this;
  for (StepTimes::Point& point : cost.points_) point.seconds *= factor;
  cost.key_read_seconds_ *= factor;
  cost.row_key_seconds_ *= factor;
  return cost;
}

StepCost StepCost::rescaled(double scale, const std::array<double, kSizes>& of_sizes) const {
  StepCost cost = *this;
  cost.scale_ = scale;
  cost.size_scale_ = of_sizes;
  return cost;
}

void StepCost::observe(const StepWork& work, double seconds) {
  const double predicted = predict(work);
  if (predicted <= 0.0) return;
  const double ratio = std::clamp(seconds / predicted, kLeastRatio, kMostRatio);
  scale_ = moved(scale_, ratio, kMachineWeight);
  double& of_size = size_scale_[size_of(work.rows)];
  of_size = moved(of_size, ratio, kSizeWeight);
}

int64_t StepCost::rows_within(double budget_seconds, const StepWork& work,
                              int64_t first_keys) const {
  const auto fits = [&](int64_t more) {
    StepWork with = work;
    with.add_sequence(more, first_keys);
    return predict(with) <= budget_seconds;
  };
  // Longer than any step may be.
  constexpr int64_t kMost = int64_t{1} << 20;
  int64_t within = 0;
  for (int64_t step = kMost; step > 0; step /= 2) {
    if (fits(within + step)) within += step;
  }
  return within;
}

}  // namespace forerun
