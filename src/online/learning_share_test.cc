// Who gets the processors, on simulated hours of traffic: an engine whose steps cost what is said,
// a trainer whose heads get better as is said.
#include "online/learning_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace forerun {
namespace {

constexpr double kOwnRate = 300.0;  // tokens a second, trained by processors of its own

// Up to eight rows cost little more than one, beyond that every row costs.
StepCost steps_take(double factor) {
  const StepTimes::Point points[] = {
      {1, factor * 1e-3}, {8, factor * 1.2e-3}, {16, factor * 1.8e-3}, {32, factor * 3.6e-3}};
  return StepCost({.by_rows = points, .row_key_seconds = 1e-12});
}

struct Traffic {
  double busy = 1.0;
  double sequences = 1.0;
  double tokens_per_second = 200.0;
  double idle_rate = 10.0;  // trained at idle priority
};

class World {
 public:
  explicit World(double slowdown = 1.04, int threads = 2)
      : share_({.threads = threads, .spare = spare_threads(threads), .head_weights = 7e6}, 0.0) {
    situation_.all.step = steps_take(1.0);
    situation_.smaller.step = steps_take(slowdown);
    slowdown_ = slowdown;
  }

  // What heads are worth on this traffic; every 20,000 trained tokens one is judged.
  std::function<double(double tokens)> truth = LearningCurve::prior;
  double own_rate = kOwnRate;
  bool trainer_tells = true;  // at idle priority

  void run(double minutes, const Traffic& traffic) {
    for (int second = 0; second < static_cast<int>(60.0 * minutes); ++second) {
      now_ += 1.0;
      serve(traffic);
      train(traffic);
      if (!share_.is_due(now_)) continue;
      if (const auto decision = share_.look(now_, situation_)) decisions.push_back(*decision);
    }
  }

  void traffic_moves() {
    ++situation_.heads.traffic_moves;
    situation_.heads.judged.clear();
    moved_at_ = trained_;
    judged_at_ = trained_;
    situation_.heads.current = truth(0.0);
  }
  void stop_training(bool stopped) { situation_.trains = !stopped; }

  bool has_own() const { return share_.own_threads() > 0; }
  const LearningForecast& forecast() const { return share_.forecast(); }
  std::vector<ShareDecision> decisions;

 private:
  void serve(const Traffic& traffic) {
    EngineLoad& load = situation_.load;
    load.busy_seconds += traffic.busy;
    load.sequence_seconds += traffic.busy * traffic.sequences;
    load.key_seconds += traffic.busy * traffic.sequences * 200.0;
    load.timed_seconds += traffic.busy;
    load.timed_smaller_seconds += traffic.busy * slowdown_;
    load.generated_tokens += static_cast<int64_t>(traffic.tokens_per_second);
    situation_.lesson_tokens += 0.875 * traffic.tokens_per_second;
    situation_.answers += traffic.tokens_per_second / 100.0;
  }

  void train(const Traffic& traffic) {
    if (!situation_.trains) return;
    const double allowed = 2.0 * 0.875 * traffic.tokens_per_second;
    const double rate = has_own() ? own_rate : traffic.idle_rate;
    const double busy = std::min(1.0, allowed / rate);
    situation_.is_behind = rate < allowed;
    trained_ += rate * busy;
    situation_.trained_tokens = static_cast<int64_t>(trained_);
    if (trainer_tells || has_own())
      share_.trainer_told(now_, situation_.trained_tokens, 1.0 - busy);
    if (trained_ < judged_at_ + 20e3) return;
    judged_at_ = trained_;
    const double worth = truth(trained_ - moved_at_);
    const double best = situation_.heads.current.value_or(1.0);
    situation_.heads.judged.push_back({trained_, worth, worth > best + 0.01});
    if (situation_.heads.judged.size() > 32) {
      situation_.heads.judged.erase(situation_.heads.judged.begin());
    }
    situation_.heads.current = std::max(best, worth);
  }

  LearningShare share_;
  LearningSituation situation_;
  double slowdown_ = 1.0;
  double now_ = 0.0;
  double trained_ = 0.0;
  double moved_at_ = 0.0;
  double judged_at_ = 0.0;
};

TEST(SpareThreads, AreHalfOfFewAndAQuarterOfMany) {
  const std::vector<int> threads = {1, 2, 3, 4, 5, 8, 16, 64};
  const std::vector<int> spare = {0, 1, 1, 2, 1, 2, 4, 16};
  for (size_t i = 0; i < threads.size(); ++i) EXPECT_EQ(spare_threads(threads[i]), spare[i]);
}

TEST(HeadParameters, AreThoseOfAHeadOfSmollm2) {
  ModelDescriptor model;
  model.d_model = 576;
  model.num_heads = 9;
  model.num_kv_heads = 3;
  model.head_dim = 64;
  model.d_ff = 1536;
  // fc, q, k, v, o, the three of the feed-forward, the output of 4,096 tokens.
  EXPECT_DOUBLE_EQ(head_parameters(model, 4096), 576.0 * (1728 + 1152 + 768 + 576 + 4608 + 4096));
}

TEST(LearningShare, TakesProcessorsOfASaturatedServer) {
  World world;
  world.run(1.9, {});
  EXPECT_FALSE(world.has_own()) << "what is known at the begin is held for four looks, too";
  world.run(2.0, {});
  ASSERT_TRUE(world.has_own());
  ASSERT_EQ(world.decisions.size(), 1u);
  const ShareDecision& made = world.decisions[0];
  EXPECT_TRUE(made.takes);
  EXPECT_GT(made.forecast.gain, 0.01);
  EXPECT_TRUE(made.reason.starts_with("learning takes 1 of 2 threads: over the next hour +"))
      << made.reason;
  EXPECT_TRUE(made.reason.ends_with("% by slower steps")) << made.reason;
}

TEST(LearningShare, DoesNotWhereDraftsDoNotPay) {
  World world;
  world.run(30.0, {.sequences = 32.0, .tokens_per_second = 2000.0});
  EXPECT_EQ(world.decisions.size(), 0u);
  EXPECT_LT(world.forecast().gain, 0.0);
}

TEST(LearningShare, WhereStepsTakeHalfAsLongAgainItIsForMinutes) {
  World world(/*slowdown=*/1.5);
  world.run(4.0, {});
  EXPECT_TRUE(world.has_own());
  world.run(16.0, {});
  EXPECT_FALSE(world.has_own());
  world.run(120.0, {});
  EXPECT_EQ(world.decisions.size(), 2u);
}

TEST(LearningShare, AnIdleServerTrainsOnWhatIsLeftOver) {
  World world;
  world.run(20.0, {.busy = 0.0, .tokens_per_second = 0.0, .idle_rate = kOwnRate});
  world.run(20.0, {.busy = 0.1, .tokens_per_second = 20.0, .idle_rate = 0.9 * kOwnRate});
  EXPECT_EQ(world.decisions.size(), 0u);
}

TEST(LearningShare, GivesThemBackWhenTrafficEnds) {
  World world;
  world.run(5.0, {});
  ASSERT_TRUE(world.has_own());
  world.run(15.0, {.busy = 0.0, .tokens_per_second = 0.0, .idle_rate = kOwnRate});
  EXPECT_FALSE(world.has_own());
  EXPECT_EQ(world.decisions.size(), 2u);
}

TEST(LearningShare, GivesThemBackWhenHeadsGetNoBetterAndTriesAgainOnOtherTraffic) {
  World world;
  world.truth = [](double tokens) { return std::min(LearningCurve::prior(tokens), 1.8); };
  world.run(10.0, {});
  ASSERT_TRUE(world.has_own());
  world.run(50.0, {});
  ASSERT_FALSE(world.has_own()) << "gain " << world.forecast().gain;
  ASSERT_EQ(world.decisions.size(), 2u) << "and does not go to and fro";
  EXPECT_TRUE(world.decisions[1].reason.starts_with("learning gives 1 of 2 threads back: over"))
      << world.decisions[1].reason;
  world.run(60.0, {});
  EXPECT_EQ(world.decisions.size(), 2u);
  world.traffic_moves();
  world.run(5.0, {});
  EXPECT_TRUE(world.has_own());
}

// As far as the prior curve goes on, so does training, with ever less to gain.
TEST(LearningShare, GivesThemBackWhenTheCurveFlattensByItself) {
  World world(/*slowdown=*/1.1);
  world.run(10.0, {});
  ASSERT_TRUE(world.has_own());
  world.run(24 * 60.0, {});
  EXPECT_FALSE(world.has_own());
  EXPECT_EQ(world.decisions.size(), 2u);
}

// As on a machine where others take them.
TEST(LearningShare, GivesThemBackWhenTheyDoNotTrainFaster) {
  World world;
  world.own_rate = 5.0;
  world.run(10.0, {});
  ASSERT_EQ(world.decisions.size(), 2u);
  EXPECT_FALSE(world.has_own());
  EXPECT_GE(world.decisions[1].forecast.learned, 0.0);
}

TEST(LearningShare, HoldsADecisionAndThenNeedsAPercent) {
  World world;
  for (int minute = 0; minute < 60; ++minute) {
    world.run(1.0, {.sequences = minute % 2 == 0 ? 1.0 : 32.0});
  }
  EXPECT_LE(world.decisions.size(), 30u);
  for (const ShareDecision& made : world.decisions) {
    EXPECT_TRUE(made.takes ? made.forecast.gain > 0.01 : made.forecast.gain <= 0.0);
  }
}

TEST(LearningShare, GivesThemBackAtOnceWhenNothingTrains) {
  World world;
  world.run(3.0, {});
  ASSERT_TRUE(world.has_own());
  world.stop_training(true);
  world.run(0.6, {});
  EXPECT_FALSE(world.has_own());
  EXPECT_EQ(world.decisions.back().reason, "learning gives 1 of 2 threads back: nothing trains");
  world.run(30.0, {});
  EXPECT_EQ(world.decisions.size(), 2u);
}

// Its rates are guessed until it tells: a trainer that never comes to a step is helped.
TEST(LearningShare, HelpsATrainerThatStarves) {
  World world;
  world.trainer_tells = false;
  world.run(5.0, {.idle_rate = 0.0});
  EXPECT_TRUE(world.has_own());
}

// As fast as it was when there was time left, it is no more: of that it cannot tell.
TEST(LearningShare, HelpsATrainerThatBeginsToStarve) {
  World world;
  world.run(4.0, {.busy = 0.3, .tokens_per_second = 60.0, .idle_rate = kOwnRate});
  ASSERT_FALSE(world.has_own());
  world.trainer_tells = false;
  world.run(20.0, {.idle_rate = 0.0});
  ASSERT_FALSE(world.decisions.empty());
  EXPECT_TRUE(world.decisions[0].takes);
}

}  // namespace
}  // namespace forerun
