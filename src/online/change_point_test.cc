#include "online/change_point.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "online/simulated_noise.h"

namespace forerun {
namespace {

class Noise : public SimulatedNoise {
 public:
  using SimulatedNoise::SimulatedNoise;
  double rate(double mean, double deviation) {
    return std::clamp(mean + deviation * normal(), 0.0, 1.0);
  }
};

using Kind = ChangePoint::Kind;

// Conversations between two alarms of traffic that stays as it is.
double mean_time_between_alarms(const std::function<double()>& rate) {
  constexpr int kConversations = 1'500'000;
  ChangePoint change_point;
  int alarms = 0;
  for (int i = 0; i < kConversations; ++i) {
    alarms += change_point.observe(rate(), rate()).has_value() ? 1 : 0;
  }
  return static_cast<double>(kConversations) / std::max(alarms, 1);
}

TEST(ChangePoint, SeldomAlarmsWithoutAChange) {
  Noise noise(1);
  EXPECT_GT(mean_time_between_alarms([&] { return noise.rate(0.55, 0.12); }), 45'000);
  // Two kinds of traffic, mixed.
  EXPECT_GT(mean_time_between_alarms(
                [&] { return noise.rate(noise.uniform() < 0.3 ? 0.75 : 0.4, 0.08); }),
            35'000);
  // Nearly all close to 1, the others anywhere.
  EXPECT_GT(mean_time_between_alarms([&] { return 1.0 - std::pow(noise.uniform(), 6.0); }), 20'000);
  // Short answers: few different rates.
  EXPECT_GT(mean_time_between_alarms([&] { return std::floor(5.0 * noise.uniform()) / 4.0; }),
            45'000);
  EXPECT_EQ(mean_time_between_alarms([] { return 1.0; }), 1'500'000.0);
}

struct Fall {
  std::vector<int> delays;  // sorted
  double kind_share = 0.0;  // of alarms with the kind looked for
  double mean() const {
    double sum = 0.0;
    for (const int delay : delays) sum += delay;
    return sum / static_cast<double>(delays.size());
  }
};

// The head's rate falls from 0.55 to 0.40 behind `before` conversations, and with it the
// reference's, or not.
Fall find_falls(int before, Kind kind) {
  constexpr int kRuns = 1000;
  Noise noise(3);
  Fall fall;
  for (int run = 0; run < kRuns; ++run) {
    ChangePoint change_point;
    bool is_early = false;
    for (int i = 0; i < before; ++i) {
      is_early |= change_point.observe(noise.rate(0.55, 0.12), noise.rate(0.5, 0.12)).has_value();
    }
    if (is_early) continue;
    for (int delay = 1; delay <= 500; ++delay) {
      const double reference = noise.rate(kind == Kind::kTraffic ? 0.35 : 0.5, 0.12);
      const auto alarm = change_point.observe(noise.rate(0.40, 0.12), reference);
      if (!alarm.has_value()) continue;
      fall.delays.push_back(delay);
      fall.kind_share += alarm->kind == kind ? 1.0 : 0.0;
      break;
    }
  }
  EXPECT_GT(fall.delays.size(), 980u);
  fall.kind_share /= static_cast<double>(fall.delays.size());
  std::ranges::sort(fall.delays);
  return fall;
}

TEST(ChangePoint, FindsAFallSoonAndTellsWhose) {
  for (const Kind kind : {Kind::kHead, Kind::kTraffic}) {
    const Fall fall = find_falls(/*before=*/200, kind);
    EXPECT_LT(fall.mean(), 18.0);
    EXPECT_LE(fall.delays[fall.delays.size() * 95 / 100], 30);
    EXPECT_GT(fall.kind_share, 0.92);
  }
  EXPECT_LT(find_falls(/*before=*/100, Kind::kHead).mean(), 22.0);
}

TEST(ChangePoint, TellsTheRatesBeforeAndAfter) {
  Noise noise(4);
  ChangePoint change_point;
  for (int i = 0; i < 150; ++i) {
    ASSERT_FALSE(change_point.observe(noise.rate(0.4, 0.05), noise.rate(0.5, 0.05)).has_value());
  }
  std::optional<ChangePoint::Alarm> alarm;
  int delay = 0;
  while (!alarm.has_value()) {
    ++delay;
    alarm = change_point.observe(noise.rate(0.7, 0.05), noise.rate(0.5, 0.05));
  }
  EXPECT_EQ(alarm->kind, Kind::kHead) << "rises are found too";
  EXPECT_NEAR(alarm->before, 0.4, 0.006);
  EXPECT_NEAR(alarm->after, 0.7, 0.05);
  EXPECT_NEAR(static_cast<double>(alarm->num_conversations), delay, 2.0);
}

// What the reference alone does is no alarm, and is what is usual for it from then on.
TEST(ChangePoint, LearnsTheReferenceAnewWhenItMovesAlone) {
  Noise noise(5);
  ChangePoint change_point;
  const auto observe = [&](int count, double head, double reference) {
    std::optional<ChangePoint::Alarm> last;
    for (int i = 0; i < count; ++i) {
      const auto alarm = change_point.observe(noise.rate(head, 0.1), noise.rate(reference, 0.1));
      if (alarm.has_value()) last = alarm;
    }
    return last;
  };
  EXPECT_FALSE(observe(300, 0.6, 0.5).has_value());
  EXPECT_FALSE(observe(300, 0.6, 0.3).has_value());
  const auto alarm = observe(60, 0.4, 0.3);
  ASSERT_TRUE(alarm.has_value());
  EXPECT_EQ(alarm->kind, Kind::kHead);
}

// Traffic that changes right after a swap would else be all that the head is known by.
TEST(ChangePoint, KnowsASwappedHeadByItsRatesOfLate) {
  for (const bool is_known : {false, true}) {
    Noise noise(7);
    ChangePoint change_point;
    std::vector<double> rates;
    for (int i = 0; i < 32; ++i) rates.push_back(noise.rate(0.6, 0.1));
    rates.push_back(-1.0);  // nothing was drafted
    change_point.head_swapped(is_known ? std::span<const double>(rates) : std::span<double>());
    int delay = 0;
    while (delay < 100 && !change_point.observe(noise.rate(0.45, 0.1), noise.rate(0.5, 0.1))) {
      ++delay;
    }
    EXPECT_EQ(delay < 30, is_known) << delay;
  }
}

TEST(ChangePoint, LearnsASwappedHeadAnew) {
  Noise noise(6);
  ChangePoint change_point;
  for (const double rate : {0.4, 0.6, 0.5}) {
    change_point.head_swapped();
    for (int i = 0; i < 300; ++i) {
      ASSERT_FALSE(change_point.observe(noise.rate(rate, 0.1), noise.rate(0.5, 0.1)).has_value());
    }
  }
}

// Without any deviation a shift is measured against a hundredth.
TEST(ChangePoint, TakesRatesThatAreAllAlike) {
  ChangePoint change_point;
  const auto alarms = [&](int count, double head) {
    bool is_found = false;
    for (int i = 0; i < count; ++i) is_found |= change_point.observe(head, 1.0).has_value();
    return is_found;
  };
  EXPECT_FALSE(alarms(300, 1.0));
  EXPECT_FALSE(alarms(100, 0.997));
  EXPECT_TRUE(alarms(10, 0.9));
}

TEST(ChangePoint, LeavesOutWhatIsNoRate) {
  Noise noise(7);
  ChangePoint change_point;
  const double wrong[] = {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN(),
                          std::numeric_limits<double>::infinity()};
  bool is_found = false;
  for (int i = 0; i < 400; ++i) {
    EXPECT_FALSE(change_point.observe(wrong[i % 4], 0.5).has_value());
    EXPECT_FALSE(change_point.observe(0.5, wrong[i % 4]).has_value());
    const double rate = noise.rate(i < 300 ? 0.55 : 0.35, 0.1);
    is_found |= change_point.observe(rate, noise.rate(0.5, 0.1)).has_value();
    ASSERT_TRUE(i >= 300 || !is_found) << i;
  }
  EXPECT_TRUE(is_found);
}

}  // namespace
}  // namespace forerun
