#include "server/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "server/kv_use.h"
#include "server/learning_status.h"

namespace forerun {
namespace {

constexpr size_t kMostSamples = 301;  // five minutes between the first and the last
constexpr double kRecentSeconds = 5.0;
constexpr double kWindowSeconds = 60.0;  // of the percentiles

constexpr std::array<std::string_view, 3> kStateNames = {"ready", "draining", "stuck"};

// Tenths are all that people and charts can see.
double rounded(double value) {
  return std::round(value * 10.0) / 10.0;
}
double rounded_fraction(double value) {
  return std::round(value * 1e4) / 1e4;
}

Json optional_fraction(const std::optional<double>& fraction) {
  return fraction ? Json(rounded_fraction(*fraction)) : Json(nullptr);
}

// Seconds, or null while there is nothing to take percentiles of.
Json percentiles_json(const Percentiles& percentiles) {
  const auto seconds = [&](double value) {
    return percentiles.count > 0 ? Json(std::round(value * 1e6) / 1e6) : Json(nullptr);
  };
  return {{"p50", seconds(percentiles.p50)},
          {"p90", seconds(percentiles.p90)},
          {"p99", seconds(percentiles.p99)},
          {"count", percentiles.count}};
}

template <typename... T>
std::string print(const char* format, T... values) {
  std::array<char, 160> text = {};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

// "9.1 ms", "120 ms", "2.4 s".
std::string duration_text(double seconds) {
  if (seconds >= 0.9995) return print("%.1f s", seconds);
  return print(seconds < 0.00995 ? "%.1f ms" : "%.0f ms", seconds * 1e3);
}

std::string latency_text(const char* what, const Percentiles& latency) {
  if (latency.count == 0) return "";
  return print(", %s %s (p99 %s)", what, duration_text(latency.p50).c_str(),
               duration_text(latency.p99).c_str());
}

std::string learning_text(const LearningStatus& learning) {
  const auto version = static_cast<long long>(learning.head_version);
  const std::string head = version == 0 ? ", no head"
                                        : print(", head %lld, replayed %.2f tokens a round",
                                                version, learning.acceptance_length);
  return head + ", starved: " + std::string(starved_name(learning.starved));
}

}  // namespace

std::string_view server_state_name(ServerState state) {
  return kStateNames[static_cast<size_t>(state)];
}

void ServerStatistics::sample(const EngineThread::Snapshot& snapshot, ServerState state,
                              double now) {
  const EngineStats& engine = snapshot.engine;
  if (samples_.empty()) started_ = now;
  if (samples_.empty() || samples_.back().state != state) state_since_ = now;
  samples_.push_back({.time = now,
                      .state = state,
                      .running = snapshot.requests_running,
                      .waiting = snapshot.requests_waiting,
                      .kv_use = kv_use(engine),
                      .prompt_tokens = engine.prompt_tokens + engine.prefix_hits,
                      .generation_tokens = engine.generated_tokens,
                      .requests = metrics_.requests_finished(),
                      .prefix_queries = engine.prefix_queries,
                      .prefix_hits = engine.prefix_hits,
                      .preemptions = engine.preemptions});
  if (samples_.size() > kMostSamples) samples_.pop_front();
}

ServerRates ServerStatistics::between(const Sample& from, const Sample& to) {
  ServerRates rates;
  rates.seconds = to.time - from.time;
  if (rates.seconds <= 0.0) return rates;
  const auto rate = [&](int64_t Sample::* count) {
    return static_cast<double>(to.*count - from.*count) / rates.seconds;
  };
  rates.prompt_tokens = rate(&Sample::prompt_tokens);
  rates.generation_tokens = rate(&Sample::generation_tokens);
  rates.requests = rate(&Sample::requests);
  const int64_t queries = to.prefix_queries - from.prefix_queries;
  if (queries > 0) {
    rates.prefix_hits =
        static_cast<double>(to.prefix_hits - from.prefix_hits) / static_cast<double>(queries);
  }
  return rates;
}

ServerRates ServerStatistics::rates(double seconds) const {
  if (samples_.empty()) return {};
  const double since = samples_.back().time - seconds;
  // The first sample that is not older; timers are a little late, so half a second counts as on
  // time.
  const auto first = std::find_if(samples_.begin(), samples_.end(),
                                  [&](const Sample& sample) { return sample.time >= since - 0.5; });
  return between(*first, samples_.back());
}

std::optional<std::string> ServerStatistics::next_line() {
  if (samples_.empty()) return std::nullopt;
  const Sample& last = samples_.back();
  const Sample from = line_since_.value_or(samples_.front());
  line_since_ = last;
  const ServerRates rates = between(from, last);
  const bool happened = rates.prompt_tokens > 0.0 || rates.generation_tokens > 0.0 ||
                        rates.requests > 0.0 || last.running > 0 || last.waiting > 0;
  if (!happened) return std::nullopt;
  std::string line = print(
      "%.1f tok/s prompt, %.1f tok/s generated, %lld running, %lld waiting, "
      "KV %.0f %%",
      rates.prompt_tokens, rates.generation_tokens, static_cast<long long>(last.running),
      static_cast<long long>(last.waiting), 100.0 * last.kv_use);
  if (rates.prefix_hits) line += print(", prefix hits %.0f %%", 100.0 * *rates.prefix_hits);
  line += latency_text("first token", metrics_.first_token_percentiles());
  line += latency_text("between tokens", metrics_.inter_token_percentiles());
  if (learning_ != nullptr) line += learning_text(learning_->status());
  return line;
}

Json ServerStatistics::json() const {
  const Sample last = samples_.empty() ? Sample() : samples_.back();
  const ServerRates recent = rates(kRecentSeconds);
  return {{"state", server_state_name(last.state)},
          {"state_seconds", rounded(last.time - state_since_)},
          {"uptime_seconds", rounded(last.time - started_)},
          {"now",
           {{"running", last.running},
            {"waiting", last.waiting},
            {"kv_use", rounded_fraction(last.kv_use)},
            {"prompt_tokens_per_second", rounded(recent.prompt_tokens)},
            {"generation_tokens_per_second", rounded(recent.generation_tokens)},
            {"requests_per_second", rounded(recent.requests)},
            {"prefix_hit_rate", optional_fraction(rates(kWindowSeconds).prefix_hits)}}},
          {"latency",
           {{"window_seconds", kWindowSeconds},
            {"first_token", percentiles_json(metrics_.first_token_percentiles())},
            {"inter_token", percentiles_json(metrics_.inter_token_percentiles())}}},
          {"totals",
           {{"requests", last.requests},
            {"prompt_tokens", last.prompt_tokens},
            {"generation_tokens", last.generation_tokens},
            {"prefix_queries", last.prefix_queries},
            {"prefix_hits", last.prefix_hits},
            {"preemptions", last.preemptions}}},
          {"learning", learning_ == nullptr ? Json() : learning_json(learning_->status())},
          {"history", history()}};
}

Json ServerStatistics::history() const {
  Json ago = Json::array();
  Json prompt = Json::array();
  Json generation = Json::array();
  Json running = Json::array();
  Json waiting = Json::array();
  Json kv = Json::array();
  for (size_t i = 1; i < samples_.size(); ++i) {
    const Sample& sample = samples_[i];
    const ServerRates second = between(samples_[i - 1], sample);
    ago.push_back(rounded(samples_.back().time - sample.time));
    prompt.push_back(rounded(second.prompt_tokens));
    generation.push_back(rounded(second.generation_tokens));
    running.push_back(sample.running);
    waiting.push_back(sample.waiting);
    kv.push_back(rounded_fraction(sample.kv_use));
  }
  return {{"seconds_ago", std::move(ago)},
          {"prompt_tokens_per_second", std::move(prompt)},
          {"generation_tokens_per_second", std::move(generation)},
          {"running", std::move(running)},
          {"waiting", std::move(waiting)},
          {"kv_use", std::move(kv)}};
}

}  // namespace forerun
