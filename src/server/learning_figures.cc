#include "server/learning_figures.h"

#include <algorithm>
#include <utility>

namespace forerun {
namespace {

using prometheus::MetricType;
using LS = LearningStatus;

struct Series {
  const char* value;  // of the figure's label
  double (*read)(const LearningStatus& status);
};
struct Figure {
  const char* name;
  const char* help;
  MetricType type;
  const char* label;  // empty: one series without a label
  std::vector<Series> series;
};

Figure one(const char* name, const char* help, MetricType type, double (*read)(const LS& status)) {
  return {name, help, type, "", {{"", read}}};
}

double number(int64_t count) {
  return static_cast<double>(count);
}

std::vector<Figure> gauges() {
  return {
      one("forerun_head_version", "Of the head that drafts; 0: none.", MetricType::Gauge,
          [](const LS& s) { return number(s.head_version); }),
      one("forerun_swap_seconds", "That the engine stood still in the last swap of heads.",
          MetricType::Gauge, [](const LS& s) { return s.swap_seconds; }),
      one("forerun_capture_rate", "Share of the conversations that is recorded.", MetricType::Gauge,
          [](const LS& s) { return s.capture_rate; }),
      one("forerun_capture_share", "Of the time of the engine's steps, what recording takes.",
          MetricType::Gauge, [](const LS& s) { return s.capture_share; }),
      one("forerun_trainer_up", "Whether the trainer runs.", MetricType::Gauge,
          [](const LS& s) { return s.trainer_up ? 1.0 : 0.0; }),
      one("forerun_trainer_step_seconds", "Of its last step.", MetricType::Gauge,
          [](const LS& s) { return s.trainer_step_seconds; }),
      one("forerun_trainer_loss", "Of its last step.", MetricType::Gauge,
          [](const LS& s) { return s.trainer_loss; }),
      one("forerun_replayed_acceptance_length",
          "Tokens a round of the head that drafts, replayed on records of late.", MetricType::Gauge,
          [](const LS& s) { return s.acceptance_length; }),
      one("forerun_estimated_speedup", "What that makes over no head; 1 is none.",
          MetricType::Gauge, [](const LS& s) { return s.estimated_speedup; }),
      one("forerun_learning_threads",
          "Processors that learning has of its own; 0: what serving leaves over.",
          MetricType::Gauge, [](const LS& s) { return number(s.share.threads); }),
      {"forerun_learning_forecast",
       "Change of the tokens served over the next hour if learning has processors of its own.",
       MetricType::Gauge,
       "by",
       {{"learned", [](const LS& s) { return s.share.learned; }},
        {"lost", [](const LS& s) { return s.share.lost; }}}},
  };
}

std::vector<Figure> counters() {
  return {
      one("forerun_trainer_starts_total", "Starts of the trainer.", MetricType::Counter,
          [](const LS& s) { return number(s.trainer_starts); }),
      one("forerun_trainer_steps_total", "Updates, those of earlier runs included.",
          MetricType::Counter, [](const LS& s) { return number(s.trainer_step); }),
      one("forerun_trained_tokens_total", "Tokens trained on, those of earlier runs included.",
          MetricType::Counter, [](const LS& s) { return number(s.trained_tokens); }),
      one("forerun_drift_alarms_total", "Alarms that the traffic has moved, or the head has.",
          MetricType::Counter, [](const LS& s) { return number(s.alarms); }),
      {"forerun_swaps_total",
       "Swaps of heads, and what came of them.",
       MetricType::Counter,
       "result",
       {{"made", [](const LS& s) { return number(s.swaps.made); }},
        {"kept", [](const LS& s) { return number(s.swaps.kept); }},
        {"rolled_back", [](const LS& s) { return number(s.swaps.rolled_back); }},
        {"recalled", [](const LS& s) { return number(s.swaps.recalled); }}}},
      {"forerun_gate_decisions_total",
       "Heads that the gate has judged.",
       MetricType::Counter,
       "verdict",
       {{"passed", [](const LS& s) { return number(s.verdicts.passed); }},
        {"failed", [](const LS& s) { return number(s.verdicts.failed); }},
        {"refused", [](const LS& s) { return number(s.verdicts.refused); }}}},
      {"forerun_trace_records_total",
       "Answers by what recording did with them; held_out are among the kept.",
       MetricType::Counter,
       "state",
       {{"kept", [](const LS& s) { return number(s.records.kept); }},
        {"dropped", [](const LS& s) { return number(s.records.dropped); }},
        {"opted_out", [](const LS& s) { return number(s.records.opted_out); }},
        {"left_out", [](const LS& s) { return number(s.records.left_out); }},
        {"held_out", [](const LS& s) { return number(s.records.held_out); }}}},
  };
}

const std::vector<Figure>& figures() {
  static const std::vector<Figure> kFigures = [] {
    std::vector<Figure> all = gauges();
    for (Figure& counter : counters()) all.push_back(std::move(counter));
    return all;
  }();
  return kFigures;
}

}  // namespace

LearningFigures::LearningFigures() {
  for (const Figure& figure : figures()) {
    prometheus::MetricFamily& family =
        families_.emplace_back(figure.name, figure.help, figure.type,
                               std::vector<prometheus::ClientMetric>(figure.series.size()));
    for (size_t i = 0; i < figure.series.size(); ++i) {
      if (*figure.label != '\0') family.metric[i].label = {{figure.label, figure.series[i].value}};
    }
  }
}

std::vector<prometheus::MetricFamily> LearningFigures::read(const LearningStatus& status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < families_.size(); ++i) {
    const std::vector<Series>& series = figures()[i].series;
    for (size_t j = 0; j < series.size(); ++j) {
      prometheus::ClientMetric& metric = families_[i].metric[j];
      const double value = series[j].read(status);
      metric.gauge.value = value;
      metric.counter.value = std::max(metric.counter.value, value);
    }
  }
  return families_;
}

}  // namespace forerun
