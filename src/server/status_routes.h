#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "server/engine_thread.h"
#include "server/metrics.h"
#include "server/router.h"
#include "server/statistics.h"

namespace forerun {

// What the status page says of the server that does not change.
struct ServerFacts {
  std::string model;
  std::string isa;
  std::string fingerprint;
  int64_t context_length = 0;
};

// GET /forerun/statistics for whoever has a key, and the files of the status page for everyone: /
// and those it loads. The statistics outlive the router.
void add_status_routes(Router& router, const ServerStatistics& statistics, ServerFacts facts);

// GET /metrics, for whoever has a key. The metrics outlive the router.
void add_metrics_route(Router& router, const Metrics& metrics,
                       std::function<EngineThread::Snapshot()> snapshot);

}  // namespace forerun
