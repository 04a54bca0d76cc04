#pragma once

#include <prometheus/metric_family.h>

#include <mutex>
#include <vector>

#include "online/learning.h"

namespace forerun {

// Gauges and counters of the loop that learns, for Prometheus, read from its status when scraped.
class LearningFigures final {
 public:
  LearningFigures();

  // A counter never falls below what it was told before.
  std::vector<prometheus::MetricFamily> read(const LearningStatus& status);

 private:
  std::mutex mutex_;
  std::vector<prometheus::MetricFamily> families_;  // as they were told last
};

}  // namespace forerun
