#include "server/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "server/exposition.h"
#include "server/learning_fixture.h"

namespace forerun {
namespace {

EngineThread::Snapshot some_snapshot() {
  EngineThread::Snapshot snapshot;
  snapshot.requests_running = 3;
  snapshot.requests_waiting = 2;
  snapshot.engine.prompt_tokens = 70;
  snapshot.engine.prefix_queries = 100;
  snapshot.engine.prefix_hits = 30;
  snapshot.engine.generated_tokens = 40;
  snapshot.engine.speculation.off_steps = 9;
  snapshot.engine.speculation.drafts = 5;
  snapshot.engine.speculation.draft_tokens = 12;
  snapshot.engine.speculation.accepted_tokens = 7;
  snapshot.engine.speculation.accepted_at = {4, 3};
  snapshot.engine.speculation.by_source[1] = {.drafted = 12, .accepted = 7};
  snapshot.engine.preemptions = 1;
  snapshot.engine.kv_pages = 8;
  snapshot.engine.kv_pages_in_use = 2;
  return snapshot;
}

Exposition scrape(const Metrics& metrics,
                  const EngineThread::Snapshot& snapshot = some_snapshot()) {
  Exposition exposition = parse_exposition(metrics.scrape(snapshot));
  EXPECT_EQ(exposition.faults, std::vector<std::string>());
  return exposition;
}

TEST(Exposition, ParserTakesNothingElse) {
  const std::string head = "# HELP a A.\n# TYPE a counter\n";
  EXPECT_EQ(parse_exposition(head + "a{b=\"c\\\"\\n\"} 1\n").faults, std::vector<std::string>());
  for (const char* bad :
       {"a{b=\"c} 1\n", "a{b=c} 1\n", "a  1\n", "a 1", "a one\n", "b 1\n", "\n", "a -1\n",
        "a 1\na 2\n", "a{b=\"\\x\"} 1\n", "a{1=\"b\"} 1\n", "a nan\n"}) {
    EXPECT_FALSE(parse_exposition(head + bad).faults.empty()) << bad;
  }
  EXPECT_FALSE(parse_exposition("# TYPE a counter\na 1\n").faults.empty());
  const std::string histogram = "# HELP h H.\n# TYPE h histogram\n";
  const std::string sum = "h_count 2\nh_sum 3\n";
  EXPECT_EQ(
      parse_exposition(histogram + sum + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n").faults,
      std::vector<std::string>());
  EXPECT_FALSE(parse_exposition(histogram + sum + "h_bucket{le=\"1\"} 2\n").faults.empty());
  EXPECT_FALSE(parse_exposition(histogram + sum + "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\n")
                   .faults.empty());
}

TEST(Metrics, HaveTheNamesOfVllm) {
  const Metrics metrics("vllm", "tiny");
  const Exposition exposition = scrape(metrics);
  std::set<std::string> names;
  for (const auto& [name, family] : exposition.families) {
    if (name.rfind("vllm:", 0) == 0) names.insert(family.type + " " + name.substr(5));
  }
  EXPECT_EQ(names, (std::set<std::string>{
                       "histogram time_to_first_token_seconds",
                       "histogram inter_token_latency_seconds",
                       "histogram e2e_request_latency_seconds",
                       "histogram request_queue_time_seconds",
                       "histogram request_prefill_time_seconds",
                       "histogram request_decode_time_seconds",
                       "histogram request_prompt_tokens",
                       "histogram request_generation_tokens",
                       "gauge num_requests_running",
                       "gauge num_requests_waiting",
                       "gauge kv_cache_usage_perc",
                       "counter prefix_cache_queries_total",
                       "counter prefix_cache_hits_total",
                       "counter prompt_tokens_total",
                       "counter generation_tokens_total",
                       "counter num_preemptions_total",
                       "counter request_success_total",
                       "counter spec_decode_num_drafts_total",
                       "counter spec_decode_num_draft_tokens_total",
                       "counter spec_decode_num_accepted_tokens_total",
                       "counter spec_decode_num_accepted_tokens_per_pos_total",
                       "counter spec_decode_source_draft_tokens_total",
                       "counter spec_decode_source_accepted_tokens_total",
                   }));
  for (const auto& [name, family] : exposition.families) {
    if (name.rfind("vllm:", 0) != 0) continue;
    for (const auto& sample : family.samples) EXPECT_EQ(sample.labels.at("model_name"), "tiny");
  }
}

TEST(Metrics, TakeTheEnginesFiguresFromTheSnapshot) {
  const Metrics metrics("forerun", "tiny");
  const Exposition exposition = scrape(metrics);
  EXPECT_EQ(exposition.value("forerun:num_requests_running"), 3.0);
  EXPECT_EQ(exposition.value("forerun:num_requests_waiting"), 2.0);
  EXPECT_EQ(exposition.value("forerun:kv_cache_usage_perc"), 0.25);
  EXPECT_EQ(exposition.value("forerun:prefix_cache_queries_total"), 100.0);
  EXPECT_EQ(exposition.value("forerun:prefix_cache_hits_total"), 30.0);
  EXPECT_EQ(exposition.value("forerun:prompt_tokens_total"), 100.0);
  EXPECT_EQ(exposition.value("forerun:generation_tokens_total"), 40.0);
  EXPECT_EQ(exposition.value("forerun:num_preemptions_total"), 1.0);
  EXPECT_EQ(exposition.value("forerun_speculation_off_steps_total"), 9.0);
  EXPECT_EQ(exposition.value("forerun:spec_decode_num_drafts_total"), 5.0);
  EXPECT_EQ(exposition.value("forerun:spec_decode_num_draft_tokens_total"), 12.0);
  EXPECT_EQ(exposition.value("forerun:spec_decode_num_accepted_tokens_total"), 7.0);
  EXPECT_EQ(exposition.value("forerun:spec_decode_num_accepted_tokens_per_pos_total",
                             {{"position", "1"}}),
            3.0);
  EXPECT_EQ(
      exposition.value("forerun:spec_decode_source_draft_tokens_total", {{"source", "prediction"}}),
      12.0);
  EXPECT_EQ(exposition.value("forerun:spec_decode_source_accepted_tokens_total",
                             {{"source", "prediction"}}),
            7.0);
}

TEST(Metrics, CountersNeverFallAndGaugesDo) {
  const Metrics metrics("vllm", "tiny");
  scrape(metrics);
  const Exposition later = scrape(metrics, EngineThread::Snapshot());
  EXPECT_EQ(later.value("vllm:generation_tokens_total"), 40.0);
  EXPECT_EQ(later.value("vllm:prompt_tokens_total"), 100.0);
  EXPECT_EQ(later.value("vllm:num_requests_running"), 0.0);
}

TEST(Metrics, AFinishedRequestIsInEveryHistogramWhoseTimeIsKnown) {
  Metrics metrics("vllm", "tiny");
  metrics.count_finished(
      "stop", {.queued = 0.4, .prefill = 0.6, .first_token = 0.7, .decode = 1.2, .whole = 1.9}, 12,
      30);
  metrics.count_finished("abort", {.whole = 0.1}, 12, 0);
  const Exposition exposition = scrape(metrics);
  EXPECT_EQ(metrics.requests_finished(), 2);
  EXPECT_EQ(exposition.value("vllm:request_success_total", {{"finished_reason", "stop"}}), 1.0);
  EXPECT_EQ(exposition.value("vllm:request_success_total", {{"finished_reason", "abort"}}), 1.0);
  EXPECT_EQ(exposition.value("vllm:request_success_total", {{"finished_reason", "length"}}), 0.0);
  EXPECT_EQ(exposition.value("vllm:request_queue_time_seconds_sum"), 0.4);
  EXPECT_EQ(exposition.value("vllm:request_prefill_time_seconds_sum"), 0.6);
  EXPECT_EQ(exposition.value("vllm:time_to_first_token_seconds_sum"), 0.7);
  EXPECT_EQ(exposition.value("vllm:request_decode_time_seconds_sum"), 1.2);
  EXPECT_EQ(exposition.value("vllm:request_decode_time_seconds_count"), 1.0);
  EXPECT_EQ(exposition.value("vllm:e2e_request_latency_seconds_sum"), 2.0);
  EXPECT_EQ(exposition.value("vllm:e2e_request_latency_seconds_count"), 2.0);
  EXPECT_EQ(exposition.value("vllm:time_to_first_token_seconds_bucket", {{"le", "0.5"}}), 0.0);
  EXPECT_EQ(exposition.value("vllm:time_to_first_token_seconds_bucket", {{"le", "0.75"}}), 1.0);
  EXPECT_EQ(exposition.value("vllm:request_prompt_tokens_sum"), 24.0);
  EXPECT_EQ(metrics.first_token_percentiles().count, 1);
}

TEST(Metrics, TellOfTheLoopThatLearnsWhereThereIsOne) {
  Metrics metrics("vllm", "tiny");
  EXPECT_FALSE(scrape(metrics).families.contains("forerun_head_version"));
  FakeLearning learning;
  learning.told = {.trainer_up = true,
                   .trainer_starts = 2,
                   .trainer_step = 150,
                   .trainer_step_seconds = 0.25,
                   .trainer_loss = 1.5,
                   .trained_tokens = 4000,
                   .records = {10, 1, 2, 3, 4},
                   .capture_rate = 0.5,
                   .capture_share = 0.004,
                   .head_version = 3,
                   .acceptance_length = 1.74,
                   .estimated_speedup = 1.3,
                   .share = {.threads = 2, .learned = 0.11, .lost = -0.04},
                   .verdicts = {5, 6, 7},
                   .swaps = {8, 4, 3, 1},
                   .swap_seconds = 0.002,
                   .alarms = 9};
  metrics.add_learning(learning);
  const Exposition exposition = scrape(metrics);
  const std::map<std::string, double> values = {
      {"forerun_head_version", 3},         {"forerun_swap_seconds", 0.002},
      {"forerun_capture_rate", 0.5},       {"forerun_capture_share", 0.004},
      {"forerun_trainer_up", 1},           {"forerun_trainer_step_seconds", 0.25},
      {"forerun_trainer_loss", 1.5},       {"forerun_trainer_steps_total", 150},
      {"forerun_trainer_starts_total", 2}, {"forerun_trained_tokens_total", 4000},
      {"forerun_drift_alarms_total", 9},   {"forerun_estimated_speedup", 1.3},
      {"forerun_learning_threads", 2},     {"forerun_replayed_acceptance_length", 1.74}};
  for (const auto& [name, value] : values) {
    EXPECT_EQ(exposition.value(name), value) << name;
    EXPECT_EQ(exposition.families.at(name).type, name.ends_with("_total") ? "counter" : "gauge");
  }
  const auto by_label = [&](const std::string& name, const std::string& label,
                            const std::map<std::string, double>& expected) {
    EXPECT_EQ(exposition.families.at(name).samples.size(), expected.size()) << name;
    for (const auto& [value, count] : expected) {
      EXPECT_EQ(exposition.value(name, {{label, value}}), count) << name << " " << value;
    }
  };
  by_label("forerun_swaps_total", "result",
           {{"made", 8}, {"kept", 4}, {"rolled_back", 3}, {"recalled", 1}});
  EXPECT_EQ(exposition.value("forerun_learning_forecast", {{"by", "learned"}}), 0.11);
  EXPECT_EQ(exposition.value("forerun_learning_forecast", {{"by", "lost"}}), -0.04);
  by_label("forerun_gate_decisions_total", "verdict",
           {{"passed", 5}, {"failed", 6}, {"refused", 7}});
  by_label("forerun_trace_records_total", "state",
           {{"kept", 10}, {"dropped", 1}, {"opted_out", 2}, {"left_out", 3}, {"held_out", 4}});

  learning.told = {};
  const Exposition later = scrape(metrics);
  EXPECT_EQ(later.value("forerun_trained_tokens_total"), 4000.0);
  EXPECT_EQ(later.value("forerun_swaps_total", {{"result", "made"}}), 8.0);
  EXPECT_EQ(later.value("forerun_head_version"), 0.0);
}

TEST(Metrics, LatenciesBetweenTokens) {
  Metrics metrics("vllm", "tiny");
  for (int i = 0; i < 10; ++i) metrics.observe_inter_token_latency(0.02);
  const Exposition exposition = scrape(metrics);
  EXPECT_EQ(exposition.value("vllm:inter_token_latency_seconds_count"), 10.0);
  EXPECT_EQ(exposition.value("vllm:inter_token_latency_seconds_bucket", {{"le", "0.01"}}), 0.0);
  EXPECT_EQ(exposition.value("vllm:inter_token_latency_seconds_bucket", {{"le", "0.025"}}), 10.0);
  EXPECT_EQ(metrics.inter_token_percentiles().count, 10);
  EXPECT_NEAR(metrics.inter_token_percentiles().p50, 0.02, 0.02 / 16);
}

TEST(Metrics, HttpRequestsByRouteAndStatusAndNoSeriesOfTheClientsMaking) {
  Metrics metrics("vllm", "tiny");
  metrics.count_http("GET", "/v1/models", 200);
  metrics.count_http("GET", "/v1/models", 200);
  metrics.count_http("BREW", "", 405);
  metrics.count_http("STEEP", "", 405);
  const Exposition exposition = scrape(metrics);
  const char* const name = "forerun_http_requests_total";
  EXPECT_EQ(exposition.value(name, {{"method", "GET"}, {"route", "/v1/models"}, {"status", "200"}}),
            2.0);
  EXPECT_EQ(exposition.value(name, {{"method", "other"}, {"route", "none"}, {"status", "405"}}),
            2.0);
}

TEST(Metrics, TellWhatIsRunning) {
  const Metrics metrics("vllm", "a \"quoted\\name\"\n", {.isa = "avx2", .fingerprint = "f00d"});
  const Exposition exposition = scrape(metrics);
  EXPECT_EQ(exposition.value("forerun_build_info", {{"isa", "avx2"}, {"fingerprint", "f00d"}}),
            1.0);
  EXPECT_EQ(exposition.value("vllm:num_requests_running", {{"model_name", "a \"quoted\\name\"\n"}}),
            3.0);
  EXPECT_GT(exposition.value("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(exposition.value("process_start_time_seconds"), 1.6e9);
  EXPECT_GE(exposition.value("process_open_fds"), 3.0);
}

}  // namespace
}  // namespace forerun
