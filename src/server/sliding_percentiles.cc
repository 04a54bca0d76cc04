#include "server/sliding_percentiles.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace forerun {
namespace {

// A double's exponent and the first four bits of its fraction number the buckets: sixteen of equal
// width in every power of two.
constexpr int kFractionBits = 4;
constexpr int kShift = 52 - kFractionBits;
constexpr int64_t number_of(double value) {
  return std::bit_cast<int64_t>(value) >> kShift;
}
constexpr int64_t kFirst = number_of(0x1p-20);  // below a microsecond

double lower_bound_of(size_t bucket) {
  return std::bit_cast<double>((kFirst + static_cast<int64_t>(bucket)) << kShift);
}

}  // namespace

SlidingPercentiles::SlidingPercentiles() : slices_(kSlices) {}

void SlidingPercentiles::observe(double value, double now) {
  const auto number = static_cast<int64_t>(now / kSliceSeconds);
  Slice& slice = slices_[static_cast<size_t>(number % kSlices)];
  if (slice.number != number) {
    slice.number = number;
    slice.counts.fill(0);
  }
  // Written so that NaN, too, lands in the first.
  const int64_t bucket = value > 0.0 ? number_of(value) - kFirst : 0;
  ++slice.counts[static_cast<size_t>(std::clamp<int64_t>(bucket, 0, kBuckets - 1))];
}

Percentiles SlidingPercentiles::read(double now) const {
  const int64_t oldest = static_cast<int64_t>(now / kSliceSeconds) - kSlices + 1;
  std::array<int64_t, kBuckets> counts = {};
  Percentiles percentiles;
  for (const Slice& slice : slices_) {
    if (slice.number < 0 || slice.number < oldest) continue;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
      counts[bucket] += slice.counts[bucket];
      percentiles.count += slice.counts[bucket];
    }
  }
  // The value at `fraction` of the way up, evenly spread within its bucket.
  const auto value_at = [&](double fraction) {
    const double rank = fraction * static_cast<double>(percentiles.count);
    double below = 0.0;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
      const auto count = static_cast<double>(counts[bucket]);
      if (count > 0.0 && below + count >= rank) {
        const double low = lower_bound_of(bucket);
        return low + (lower_bound_of(bucket + 1) - low) * (rank - below) / count;
      }
      below += count;
    }
    return 0.0;
  };
  percentiles.p50 = value_at(0.50);
  percentiles.p90 = value_at(0.90);
  percentiles.p99 = value_at(0.99);
  return percentiles;
}

}  // namespace forerun
