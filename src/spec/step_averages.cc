#include "spec/step_averages.h"

#include <algorithm>

namespace forerun {
namespace {

// Seconds of steps that what was timed at load is worth.
constexpr double kTrustSeconds = 1.0;
// After so many of a class, older ones count half.
constexpr double kMemorySeconds = 300.0;
// A step interrupted for long says nothing about the machine.
constexpr double kMostRatio = 4.0;
// Decoding's: what prompts take is not what drafts do.
constexpr int kDecodingSizes = 5;  // to 16 rows

}  // namespace

void StepAverages::observe(const StepWork& work, double seconds) {
  const double timed = timed_.timed(work);
  Sums& sums = of_sizes_[StepCost::size_of(work.rows)];
  sums.seconds += std::min(seconds, kMostRatio * timed);
  sums.timed += timed;
  if (sums.timed < kMemorySeconds) return;
  sums.seconds /= 2.0;
  sums.timed /= 2.0;
}

StepCost StepAverages::cost_of(const StepCost& timed) const {
  Sums all = {kTrustSeconds, kTrustSeconds};
  for (int size = 0; size < kDecodingSizes; ++size) {
    all.seconds += of_sizes_[size].seconds;
    all.timed += of_sizes_[size].timed;
  }
  const double of_all = all.seconds / all.timed;
  std::array<double, StepCost::kSizes> scales;
  for (size_t size = 0; size < scales.size(); ++size) {
    const Sums& one = of_sizes_[size];
    scales[size] = (one.seconds / of_all + kTrustSeconds) / (one.timed + kTrustSeconds);
  }
  return timed.rescaled(of_all, scales);
}

}  // namespace forerun
