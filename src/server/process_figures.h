#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace forerun {

// The process's memory, processor time, open files and start, under the names that Prometheus'
// clients agree on. What the system does not tell is left out.
std::vector<prometheus::MetricFamily> process_figures();

}  // namespace forerun
