#include "server/statistics.h"

#include <gtest/gtest.h>

#include "server/learning_fixture.h"

namespace forerun {
namespace {

EngineThread::Snapshot after(int64_t seconds) {
  EngineThread::Snapshot snapshot;
  snapshot.engine.prompt_tokens = 80 * seconds;
  snapshot.engine.prefix_hits = 20 * seconds;
  snapshot.engine.prefix_queries = 100 * seconds;
  snapshot.engine.generated_tokens = 50 * seconds;
  snapshot.engine.kv_pages = 10;
  return snapshot;
}

class ServerStatisticsTest : public testing::Test {
 protected:
  // A second each, from `begin` on.
  void sample(int begin, int end, ServerState state = ServerState::kReady) {
    for (int second = begin; second < end; ++second) {
      statistics_.sample(after(second), state, 1000.0 + second);
    }
  }

  Metrics metrics_{"vllm", "tiny"};
  ServerStatistics statistics_{metrics_};
};

TEST_F(ServerStatisticsTest, NothingSampledIsNothing) {
  EXPECT_FALSE(statistics_.next_line());
  EXPECT_EQ(statistics_.rates(10.0).seconds, 0.0);
  const Json json = statistics_.json();
  EXPECT_EQ(json["uptime_seconds"], 0.0);
  EXPECT_TRUE(json["history"]["seconds_ago"].empty());
  EXPECT_TRUE(json["now"]["prefix_hit_rate"].is_null());
}

TEST_F(ServerStatisticsTest, RatesAreOverTheTimeAskedFor) {
  sample(0, 3);
  metrics_.count_finished("stop", {}, 1, 1);
  // Later all stands still.
  for (int second = 3; second < 9; ++second) {
    statistics_.sample(after(2), ServerState::kReady, 1000.0 + second);
  }
  const ServerRates whole = statistics_.rates(100.0);
  EXPECT_EQ(whole.seconds, 8.0);
  EXPECT_DOUBLE_EQ(whole.prompt_tokens, 200.0 / 8.0);
  EXPECT_DOUBLE_EQ(whole.generation_tokens, 100.0 / 8.0);
  EXPECT_DOUBLE_EQ(whole.requests, 1.0 / 8.0);
  EXPECT_DOUBLE_EQ(whole.prefix_hits.value(), 0.2);
  const ServerRates last = statistics_.rates(5.0);
  EXPECT_EQ(last.seconds, 5.0);
  EXPECT_EQ(last.generation_tokens, 0.0);
  EXPECT_FALSE(last.prefix_hits);
}

TEST_F(ServerStatisticsTest, HistoryIsFiveMinutes) {
  sample(0, 1000);
  const Json history = statistics_.json()["history"];
  ASSERT_EQ(history["seconds_ago"].size(), 300u);
  EXPECT_EQ(history["seconds_ago"].front(), 299.0);
  EXPECT_EQ(history["seconds_ago"].back(), 0.0);
  for (const char* name : {"prompt_tokens_per_second", "generation_tokens_per_second", "running",
                           "waiting", "kv_use"}) {
    EXPECT_EQ(history[name].size(), 300u) << name;
  }
  EXPECT_EQ(history["prompt_tokens_per_second"].front(), 100.0);
  EXPECT_EQ(history["generation_tokens_per_second"].back(), 50.0);
}

TEST_F(ServerStatisticsTest, TellsTheStateAndSinceWhen) {
  sample(0, 10);
  sample(10, 13, ServerState::kDraining);
  const Json json = statistics_.json();
  EXPECT_EQ(json["state"], "draining");
  EXPECT_EQ(json["state_seconds"], 2.0);
  EXPECT_EQ(json["uptime_seconds"], 12.0);
  EXPECT_EQ(server_state_name(ServerState::kReady), "ready");
  EXPECT_EQ(server_state_name(ServerState::kStuck), "stuck");
}

TEST_F(ServerStatisticsTest, PercentilesAreNullUntilThereAreSome) {
  sample(0, 2);
  EXPECT_TRUE(statistics_.json()["latency"]["first_token"]["p50"].is_null());
  metrics_.observe_inter_token_latency(0.01);
  const Json latency = statistics_.json()["latency"];
  EXPECT_TRUE(latency["first_token"]["p50"].is_null());
  EXPECT_NEAR(latency["inter_token"]["p50"].get<double>(), 0.01, 0.01 / 16);
  EXPECT_EQ(latency["inter_token"]["count"], 1);
}

TEST_F(ServerStatisticsTest, ALineForWhatHappenedAndNoneForNothing) {
  EngineThread::Snapshot snapshot = after(0);
  statistics_.sample(snapshot, ServerState::kReady, 1000.0);
  EXPECT_FALSE(statistics_.next_line());

  snapshot = after(10);
  snapshot.requests_running = 3;
  snapshot.requests_waiting = 1;
  snapshot.engine.kv_pages_in_use = 1;
  statistics_.sample(snapshot, ServerState::kReady, 1010.0);
  EXPECT_EQ(statistics_.next_line().value(),
            "100.0 tok/s prompt, 50.0 tok/s generated, 3 running, 1 waiting, KV 10 %, "
            "prefix hits 20 %");

  // What still runs is worth a line, though no step ended.
  statistics_.sample(snapshot, ServerState::kStuck, 1020.0);
  EXPECT_EQ(statistics_.next_line().value(),
            "0.0 tok/s prompt, 0.0 tok/s generated, 3 running, 1 waiting, KV 10 %");

  snapshot.requests_running = snapshot.requests_waiting = 0;
  snapshot.engine.generated_tokens += 5;
  for (int i = 0; i < 100; ++i) metrics_.observe_inter_token_latency(0.0091);
  statistics_.sample(snapshot, ServerState::kReady, 1030.0);
  EXPECT_NE(statistics_.next_line().value().find(", between tokens 9."), std::string::npos);
  statistics_.sample(snapshot, ServerState::kReady, 1040.0);
  EXPECT_FALSE(statistics_.next_line());
}

TEST_F(ServerStatisticsTest, TellsHowLearningGoesWhereSomethingLearns) {
  sample(0, 10);
  EXPECT_TRUE(statistics_.json()["learning"].is_null());
  EXPECT_EQ(statistics_.next_line().value().find("head"), std::string::npos);

  FakeLearning learning;
  learning.told.head_version = 3;
  statistics_.add_learning(learning);
  EXPECT_EQ(statistics_.json()["learning"]["head_version"], 3);
  sample(10, 20);
  const std::string line = statistics_.next_line().value();
  EXPECT_TRUE(line.ends_with(", head 3, replayed 1.74 tokens a round, starved: nobody")) << line;
  learning.told.head_version = 0;
  learning.told.starved = Starved::kTraffic;
  sample(20, 30);
  EXPECT_TRUE(statistics_.next_line().value().ends_with(", no head, starved: traffic"));
  EXPECT_EQ(starved_name(Starved::kLearning), "learning");
}

}  // namespace
}  // namespace forerun
