#include "online/change_point.h"

#include <algorithm>
#include <cmath>

namespace forerun {
namespace {

// Observations before scores count: fewer know the deviation too badly to cut scores by it.
constexpr int64_t kLeastBaseline = 32;
// A rate is not known more finely: steady ones would make a shift of any step.
constexpr double kLeastDeviation = 0.01;
constexpr double kMostScore = 2.5;
// Half the shift that is found soonest, in deviations.
constexpr double kSlack = 0.5;
// Siegmund's approximation gives one sum, of normal scores, 2 · (e^(h + 1.166) − h − 2.166)
// conversations between false alarms: 141,000.
constexpr double kThreshold = 10.0;
// The reference's sum that shows that it moved too.
constexpr double kMovedToo = 3.0;

bool is_rate(double value) {
  return value >= 0.0 && value <= 1.0;
}

}  // namespace

double ChangePoint::Baseline::score(double value) const {
  const auto n = static_cast<double>(count);
  const double freedom = n - 1.0;
  const double deviation = std::max(std::sqrt(squares / freedom), kLeastDeviation);
  const double t = (value - mean) / (deviation * std::sqrt(1.0 + 1.0 / n));
  // Student's t as a normal score, Wallace 1959.
  const double z = std::sqrt(freedom * std::log1p(t * t / freedom)) * (8.0 * freedom + 1.0) /
                   (8.0 * freedom + 3.0);
  return std::copysign(std::min(z, kMostScore), t);
}

void ChangePoint::Baseline::add(double value) {
  ++count;
  const double difference = value - mean;
  mean += difference / static_cast<double>(count);
  squares += difference * (value - mean);
}

double ChangePoint::Baseline::mean_without(double sum, int64_t last) const {
  return (mean * static_cast<double>(count) - sum) / static_cast<double>(count - last);
}

bool ChangePoint::Cusum::add(double rate, double score) {
  sum += score - kSlack;
  if (sum <= 0.0) {
    *this = {};
    return false;
  }
  ++count;
  rates += rate;
  return sum >= kThreshold;
}

const ChangePoint::Cusum* ChangePoint::Stream::add(double rate) {
  const bool is_known = baseline.count >= kLeastBaseline;
  const double score = baseline.score(rate);
  baseline.add(rate);
  if (!is_known) return nullptr;
  const bool rises = rise.add(rate, score);
  const bool falls = fall.add(rate, -score);
  return falls ? &fall : rises ? &rise : nullptr;
}

bool ChangePoint::Stream::has_moved() const {
  return std::max(rise.sum, fall.sum) >= kMovedToo;
}

std::optional<ChangePoint::Alarm> ChangePoint::observe(double head, double reference) {
  if (!is_rate(head) || !is_rate(reference)) return std::nullopt;
  // A shift of the reference alone is no alarm: what is usual for it is learned anew. Its sum
  // stays, and goes down from there, so that for a while it is known to have moved.
  if (reference_.add(reference) != nullptr) reference_.baseline = {};
  const Cusum* shift = head_.add(head);
  if (shift == nullptr) return std::nullopt;
  const Alarm alarm = {reference_.has_moved() ? Kind::kTraffic : Kind::kHead,
                       head_.baseline.mean_without(shift->rates, shift->count),
                       shift->rates / static_cast<double>(shift->count), shift->count};
  *this = {};
  return alarm;
}

void ChangePoint::head_swapped(std::span<const double> rates) {
  head_ = {};
  for (const double rate : rates) {
    if (is_rate(rate)) head_.baseline.add(rate);
  }
}

}  // namespace forerun
