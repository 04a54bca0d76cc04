#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace forerun {

// The middle and the slow end of what was observed.
struct Percentiles {
  double p50 = 0.0;
  double p90 = 0.0;
  double p99 = 0.0;
  int64_t count = 0;  // 0: nothing was, and the others mean nothing
};

// Percentiles of the values observed during the last minute, in bounded memory: counts in buckets
// whose width is a sixteenth of their power of two, so a percentile is at most 6 % off. Values from
// a microsecond to an hour (in seconds) are told apart. Not for several threads at once.
class SlidingPercentiles final {
 public:
  SlidingPercentiles();

  // `now` in seconds; it never goes back.
  void observe(double value, double now);
  // Of the minute that ends at `now`, rounded up to whole slices.
  Percentiles read(double now) const;

 private:
  static constexpr double kSliceSeconds = 5.0;
  static constexpr int kSlices = 13;  // a minute, and the slice that is being filled
  static constexpr int kBuckets = 512;

  struct Slice {
    int64_t number = -1;  // which five seconds; -1: never filled
    std::array<uint32_t, kBuckets> counts = {};
  };
  std::vector<Slice> slices_;
};

}  // namespace forerun
