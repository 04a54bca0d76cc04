#include "server/engine_figures.h"

#include <algorithm>
#include <array>

#include "server/kv_use.h"

namespace forerun {
namespace {

using Snapshot = EngineThread::Snapshot;
using prometheus::MetricType;

struct Figure {
  const char* name;
  const char* help;
  MetricType type;
  double (*read)(const Snapshot& snapshot);
};

constexpr std::array<Figure, 8> kFigures = {{
    {"num_requests_running", "Requests that have a place.", MetricType::Gauge,
     [](const Snapshot& s) { return static_cast<double>(s.requests_running); }},
    {"num_requests_waiting", "Requests that wait for a place.", MetricType::Gauge,
     [](const Snapshot& s) { return static_cast<double>(s.requests_waiting); }},
    {"kv_cache_usage_perc", "Of the room for keys and values, what is in use; 1 is all.",
     MetricType::Gauge, [](const Snapshot& s) { return kv_use(s.engine); }},
    {"prefix_cache_queries_total", "Prompt tokens looked for in the prefix cache.",
     MetricType::Counter,
     [](const Snapshot& s) { return static_cast<double>(s.engine.prefix_queries); }},
    {"prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", MetricType::Counter,
     [](const Snapshot& s) { return static_cast<double>(s.engine.prefix_hits); }},
    {"prompt_tokens_total", "Prompt tokens processed, cached ones included.", MetricType::Counter,
     [](const Snapshot& s) {
       return static_cast<double>(s.engine.prompt_tokens + s.engine.prefix_hits);
     }},
    {"generation_tokens_total", "Tokens generated.", MetricType::Counter,
     [](const Snapshot& s) { return static_cast<double>(s.engine.generated_tokens); }},
    {"num_preemptions_total", "Times that a sequence had to give its place up for a while.",
     MetricType::Counter,
     [](const Snapshot& s) { return static_cast<double>(s.engine.preemptions); }},
}};

}  // namespace

EngineFigures::EngineFigures(const std::string& prefix, const prometheus::Labels& labels) {
  for (const Figure& figure : kFigures) {
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : labels) metric.label.push_back({name, value});
    families_.push_back({prefix + figure.name, figure.help, figure.type, {metric}});
  }
}

std::vector<prometheus::MetricFamily> EngineFigures::read(const Snapshot& snapshot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < kFigures.size(); ++i) {
    const double value = kFigures[i].read(snapshot);
    prometheus::ClientMetric& metric = families_[i].metric.front();
    metric.gauge.value = value;
    metric.counter.value = std::max(metric.counter.value, value);
  }
  return families_;
}

}  // namespace forerun
