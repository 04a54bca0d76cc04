#include "server/engine_figures.h"

#include <algorithm>
#include <array>

#include "server/kv_use.h"
#include "spec/draft_summary.h"

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

constexpr std::array<Figure, 11> kFigures = {{
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
    {"spec_decode_num_drafts_total", "Drafts that were verified.", MetricType::Counter,
     [](const Snapshot& s) { return static_cast<double>(s.engine.speculation.drafts); }},
    {"spec_decode_num_draft_tokens_total", "Their tokens.", MetricType::Counter,
     [](const Snapshot& s) { return static_cast<double>(s.engine.speculation.draft_tokens); }},
    {"spec_decode_num_accepted_tokens_total", "Those of them that were right.", MetricType::Counter,
     [](const Snapshot& s) { return static_cast<double>(s.engine.speculation.accepted_tokens); }},
}};
// Positions of drafts that are told apart.
constexpr int kToldPositions = 16;

}  // namespace

EngineFigures::EngineFigures(const std::string& prefix, const prometheus::Labels& labels) {
  const auto add = [&](const std::string& name, const char* help, MetricType type) {
    families_.push_back({prefix + name, help, type, {}});
  };
  const auto add_metric = [&](const prometheus::Labels& more) {
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : labels) metric.label.push_back({name, value});
    for (const auto& [name, value] : more) metric.label.push_back({name, value});
    families_.back().metric.push_back(std::move(metric));
  };
  for (const Figure& figure : kFigures) {
    add(figure.name, figure.help, figure.type);
    add_metric({});
  }
  add("spec_decode_num_accepted_tokens_per_pos_total",
      "Right tokens by their place in the draft, the first 16.", MetricType::Counter);
  for (int i = 0; i < kToldPositions; ++i) add_metric({{"position", std::to_string(i)}});
  add("spec_decode_source_draft_tokens_total", "Verified tokens by what drafted them.",
      MetricType::Counter);
  for (int i = 0; i < kNumDraftSources; ++i) add_metric({{"source", source_name(i)}});
  add("spec_decode_source_accepted_tokens_total", "Right tokens by what drafted them.",
      MetricType::Counter);
  for (int i = 0; i < kNumDraftSources; ++i) add_metric({{"source", source_name(i)}});
  // Nobody else has that, so that it keeps our own name.
  families_.push_back({"forerun_speculation_off_steps_total",
                       "Steps without drafts, measured not to pay, or to measure that.",
                       MetricType::Counter,
                       {}});
  add_metric({});
}

std::vector<prometheus::MetricFamily> EngineFigures::read(const Snapshot& snapshot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto set = [](prometheus::ClientMetric& metric, double value) {
    metric.gauge.value = value;
    metric.counter.value = std::max(metric.counter.value, value);
  };
  for (size_t i = 0; i < kFigures.size(); ++i) {
    set(families_[i].metric.front(), kFigures[i].read(snapshot));
  }
  const SpeculationStats& drafts = snapshot.engine.speculation;
  auto* family = &families_[kFigures.size()];
  for (int i = 0; i < kToldPositions; ++i) {
    set(family->metric[i], static_cast<double>(drafts.accepted_at[i]));
  }
  ++family;
  for (int i = 0; i < kNumDraftSources; ++i) {
    set(family[0].metric[i], static_cast<double>(drafts.by_source[i].drafted));
    set(family[1].metric[i], static_cast<double>(drafts.by_source[i].accepted));
  }
  set(family[2].metric.front(), static_cast<double>(drafts.off_steps));
  return families_;
}

}  // namespace forerun
