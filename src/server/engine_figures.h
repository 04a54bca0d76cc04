#pragma once

#include <prometheus/labels.h>
#include <prometheus/metric_family.h>

#include <mutex>
#include <string>
#include <vector>

#include "server/engine_thread.h"

namespace forerun {

// The engine's own gauges and counters for Prometheus, read from a snapshot when scraped.
class EngineFigures final {
 public:
  EngineFigures(const std::string& prefix, const prometheus::Labels& labels);

  // A counter never falls below what it was told before.
  std::vector<prometheus::MetricFamily> read(const EngineThread::Snapshot& snapshot);

 private:
  std::mutex mutex_;
  std::vector<prometheus::MetricFamily> families_;  // as they were told last
};

}  // namespace forerun
