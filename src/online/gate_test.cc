#include "online/gate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "online/simulated_noise.h"

namespace forerun {
namespace {

using Noise = SimulatedNoise;

std::vector<PairedTime> times_of(int count, const std::function<double()>& log_speedup) {
  std::vector<PairedTime> times;
  times.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) times.push_back({std::exp(log_speedup()), 1.0});
  return times;
}

// Of a candidate that is looked at once.
GateVerdict judge(PairedGate& gate, const std::vector<PairedTime>& times) {
  GateLooks looks;
  return gate.judge(times, looks, /*is_last=*/true);
}

GateVerdict judge(PairedGate&& gate, const std::vector<PairedTime>& times) {
  return judge(gate, times);
}

double pass_rate(int runs, int64_t num_judged, int conversations,
                 const std::function<double()>& log_speedup) {
  int passed = 0;
  for (int run = 0; run < runs; ++run) {
    PairedGate gate(run, num_judged);
    passed += judge(gate, times_of(conversations, log_speedup)).passed ? 1 : 0;
  }
  return static_cast<double>(passed) / runs;
}

const double kLeast = std::log(PairedGate::kLeastSpeedup);

TEST(HeldOut, IsOneInEightOfAnyIds) {
  for (const uint64_t step : {uint64_t{1}, uint64_t{8}, uint64_t{1} << 32, uint64_t{1} << 57}) {
    int count = 0;
    for (uint64_t i = 0; i < 100; ++i) count += is_held_out(i * step) ? 1 : 0;
    EXPECT_NEAR(count, 12.5, 12.0) << step;
  }
  int count = 0;
  for (uint64_t i = 0; i < 80'000; ++i) count += is_held_out(8 * i) ? 1 : 0;
  EXPECT_NEAR(count, 10'000, 400);
}

TEST(PairedGate, TellsItsNumbers) {
  Noise noise(1);
  const auto times = times_of(100, [&] { return 0.05 + 0.02 * noise.normal(); });
  PairedGate gate(/*seed=*/5);
  const GateVerdict verdict = judge(gate, times);
  EXPECT_TRUE(verdict.passed) << verdict.reason;
  EXPECT_EQ(verdict.candidate, 1);
  EXPECT_EQ(verdict.num_conversations, 100);
  EXPECT_DOUBLE_EQ(verdict.alpha, 0.025);
  EXPECT_NEAR(verdict.mean, 0.05, 0.006);
  // Student's quantile of 99 degrees is 1.984.
  EXPECT_NEAR(verdict.mean - verdict.bound, 1.984 * 0.02 / 10.0, 0.0006);
  EXPECT_NE(verdict.reason.find("over 100 conversations"), std::string::npos) << verdict.reason;
  EXPECT_EQ(judge(PairedGate(5), times).bound, verdict.bound) << "the same again";
  EXPECT_NE(judge(PairedGate(6), times).bound, verdict.bound);
}

// How far below the mean the bound is, in deviations of the mean; of normal values 1.96 at least.
double bound_distance(const std::vector<PairedTime>& times) {
  double squares = 0.0;
  const GateVerdict verdict = judge(PairedGate(1), times);
  for (const PairedTime& time : times) {
    squares += std::pow(std::log(time.incumbent_s / time.candidate_s) - verdict.mean, 2);
  }
  return (verdict.mean - verdict.bound) * static_cast<double>(times.size()) / std::sqrt(squares);
}

TEST(PairedGate, KeepsFartherFromTheMeanWhereLossesAreRare) {
  Noise noise(3);
  EXPECT_GT(bound_distance(times_of(64, [&] { return -noise.exponential(); })), 2.2);
  EXPECT_NEAR(bound_distance(times_of(64, [&] { return noise.exponential(); })), 1.96, 0.001);
}

TEST(PairedGate, SpendsItsErrorOverCandidates) {
  Noise noise(1);
  const auto times = times_of(64, [&] { return 0.1 * noise.normal(); });
  PairedGate gate(1);
  double spent = 0.0;
  double bound = std::numeric_limits<double>::infinity();
  for (int i = 1; i <= 30; ++i) {
    const GateVerdict verdict = judge(gate, times);
    EXPECT_EQ(verdict.candidate, i);
    EXPECT_DOUBLE_EQ(verdict.alpha, 0.05 / (i * (i + 1)));
    spent += verdict.alpha;
    if (i % 5 != 1) continue;
    EXPECT_LT(verdict.bound, bound) << i;
    bound = verdict.bound;
  }
  EXPECT_LT(spent, 0.05);
  gate.reset();
  EXPECT_EQ(judge(gate, times).candidate, 1);
  EXPECT_EQ(judge(PairedGate(1, gate.num_judged()), times).candidate, 2);
}

TEST(PairedGate, RefusesWithoutATest) {
  Noise noise(2);
  PairedGate gate(1);
  auto times = times_of(63, [&] { return 0.5 + 0.1 * noise.normal(); });
  GateVerdict verdict = judge(gate, times);
  EXPECT_FALSE(verdict.passed);
  EXPECT_EQ(verdict.reason, "63 conversations were held out; it takes 64");
  times.push_back({});
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const PairedTime wrong[] = {{kNan, 1.0}, {1.0, kNan},    {kInfinity, 1.0}, {1.0, kInfinity},
                              {1.0, 0.0},  {0.0, 1.0},     {-2.0, -1.0},     {0.0, 0.0},
                              {-1.0, 1.0}, {1e300, 1e-300}};
  for (const PairedTime& time : wrong) {
    times.back() = time;
    verdict = judge(gate, times);
    EXPECT_FALSE(verdict.passed) << time.incumbent_s << " " << time.candidate_s;
    EXPECT_EQ(verdict.reason, "conversation 64 of 64 has a time that is none");
  }
  EXPECT_EQ(gate.num_judged(), 0);
  times.back() = {1.5, 1.0};
  EXPECT_TRUE(judge(gate, times).passed);
}

TEST(PairedGate, TakesTimesThatAreAllAlike) {
  EXPECT_TRUE(judge(PairedGate(1), times_of(64, [] { return 0.01; })).passed);
  EXPECT_FALSE(judge(PairedGate(1), times_of(64, [] { return 0.0; })).passed);
  // One that was never drawn again could be of any weight.
  int i = 0;
  EXPECT_FALSE(judge(PairedGate(1), times_of(64, [&] { return i++ == 0 ? -0.5 : 0.02; })).passed);
}

// Of candidates that gain exactly what is not enough; the level of the first is 0.025, and the
// binomial deviation over 600 runs 0.0064, over 400 runs 0.0078.
TEST(PairedGate, PassesFewThatAreNotFaster) {
  Noise noise(7);
  EXPECT_LT(pass_rate(600, 0, 64, [&] { return kLeast + 0.1 * noise.normal(); }), 0.04);
  EXPECT_LT(pass_rate(400, 0, 64, [&] { return kLeast + 0.1 * (1.0 - noise.exponential()); }),
            0.05);
  // Of the tenth it is 0.00045.
  EXPECT_LE(pass_rate(200, 9, 64, [&] { return kLeast + 0.1 * noise.normal(); }), 0.005);
}

// Looked at as long as it takes; conversations that it took, with a minus where it did not pass.
int64_t judge_to_the_end(PairedGate& gate, const std::function<double()>& log_speedup) {
  GateLooks looks;
  std::vector<PairedTime> times;
  for (;;) {
    while (std::ssize(times) < looks.due()) times.push_back({std::exp(log_speedup()), 1.0});
    const GateVerdict verdict = gate.judge(times, looks, /*is_last=*/false);
    if (!verdict.is_open) return verdict.passed ? std::ssize(times) : -std::ssize(times);
  }
}

TEST(PairedGate, LooksAgainWhereItIsNotSure) {
  Noise noise(11);
  int passed = 0;
  int at_once = 0;
  for (int run = 0; run < 100; ++run) {
    PairedGate gate(run);
    const int64_t took = judge_to_the_end(gate, [&] { return 0.02 + 0.05 * noise.normal(); });
    passed += took > 0 ? 1 : 0;
    at_once += took == 64 ? 1 : 0;
    EXPECT_EQ(gate.num_judged(), 1);
  }
  EXPECT_GT(passed, 90);
  EXPECT_LT(at_once, 70);
  // What is no better is not looked at three times.
  int64_t conversations = 0;
  for (int run = 0; run < 100; ++run) {
    PairedGate gate(run);
    conversations -= judge_to_the_end(gate, [&] { return -0.01 + 0.05 * noise.normal(); });
  }
  EXPECT_LT(conversations, 100 * 70);
}

TEST(PairedGate, SharesALevelAmongLooks) {
  Noise noise(12);
  const auto times = times_of(256, [&] { return 0.006 + 0.05 * noise.normal(); });
  PairedGate gate(1, /*num_judged=*/1);
  GateLooks looks;
  for (const double share : {0.5, 0.25, 0.25}) {
    const GateVerdict verdict = gate.judge(times, looks, /*is_last=*/false);
    EXPECT_EQ(verdict.candidate, 2);
    EXPECT_DOUBLE_EQ(verdict.alpha, 0.05 / 6 * share);
    EXPECT_EQ(verdict.is_open, looks.taken < PairedGate::kMostLooks);
  }
  GateLooks ended;
  gate.judge(times, ended, /*is_last=*/false);
  EXPECT_EQ(ended.candidate, 3);
  EXPECT_DOUBLE_EQ(gate.judge(times, ended, /*is_last=*/true).alpha, 0.05 / 12 / 2) << "the rest";
}

// At the level 0.025, however often it is looked at; the binomial deviation is 0.008.
TEST(PairedGate, PassesNoMoreForLookingAgain) {
  Noise noise(13);
  int passed = 0;
  for (int run = 0; run < 400; ++run) {
    PairedGate gate(run);
    const auto null = [&] { return kLeast + 0.1 * noise.normal(); };
    passed += judge_to_the_end(gate, null) > 0 ? 1 : 0;
  }
  EXPECT_LT(passed, 0.045 * 400);
}

TEST(PairedGate, PassesFivePercentAtOnce) {
  Noise noise(8);
  const double gain = std::log(1.05);
  EXPECT_GT(pass_rate(100, 0, 128, [&] { return gain + 0.1 * noise.normal(); }), 0.97);
  EXPECT_GT(pass_rate(50, 4, 128, [&] { return gain + 0.1 * noise.normal(); }), 0.9);
}

struct WatchRates {
  double keep = 0.0;
  double roll_back = 0.0;
  double conversations = 0.0;  // on average, of the watches that were decided
};

WatchRates watch(int runs, int most, const std::function<double()>& log_speedup) {
  WatchRates rates;
  for (int run = 0; run < runs; ++run) {
    SequentialWatch watch;
    for (int i = 0; i < most; ++i) watch.observe(log_speedup());
    rates.keep += watch.verdict() == WatchVerdict::kKeep ? 1.0 : 0.0;
    rates.roll_back += watch.verdict() == WatchVerdict::kRollBack ? 1.0 : 0.0;
    rates.conversations += static_cast<double>(watch.num_conversations());
  }
  rates.conversations /= rates.keep + rates.roll_back;
  rates.keep /= runs;
  rates.roll_back /= runs;
  return rates;
}

// Looked at after each of 500 conversations.
TEST(SequentialWatch, SeldomErrsAboutEqualHeads) {
  Noise noise(9);
  const std::function<double()> equal[] = {
      [&] { return 0.1 * noise.normal(); },
      [&] { return noise.uniform() < 0.5 ? 0.5 : -0.5; },
      [&] { return noise.uniform() < 0.05 ? -0.475 : 0.025; },
      [&] { return noise.uniform() < 0.05 ? 0.475 : -0.025; },
  };
  for (const auto& log_speedup : equal) {
    const WatchRates rates = watch(1000, 500, log_speedup);
    EXPECT_LT(rates.keep, SequentialWatch::kAlpha);
    EXPECT_LT(rates.roll_back, SequentialWatch::kAlpha);
    EXPECT_GT(rates.keep + rates.roll_back, 0.004) << "it does err";
  }
}

TEST(SequentialWatch, FindsOutWhichIsFaster) {
  Noise noise(10);
  const WatchRates worse = watch(500, 1000, [&] { return -0.05 + 0.1 * noise.normal(); });
  EXPECT_EQ(worse.roll_back, 1.0);
  EXPECT_LT(worse.conversations, 90);
  const WatchRates better = watch(500, 1000, [&] { return 0.05 + 0.1 * noise.normal(); });
  EXPECT_EQ(better.keep, 1.0);
  EXPECT_LT(better.conversations, 90);
  const WatchRates slightly = watch(200, 3000, [&] { return -0.02 + 0.1 * noise.normal(); });
  EXPECT_GT(slightly.roll_back, 0.97);
  // Where the largest stakes lose to the noise.
  const WatchRates hardly = watch(50, 8000, [&] { return -0.01 + 0.15 * noise.normal(); });
  EXPECT_GT(hardly.roll_back, 0.95);
}

TEST(SequentialWatch, CountsWhatIsNoNumberAsTheWorst) {
  SequentialWatch watch;
  const double wrong[] = {std::numeric_limits<double>::quiet_NaN(),
                          std::numeric_limits<double>::infinity(),
                          -std::numeric_limits<double>::infinity()};
  for (int i = 0; i < 30; ++i) watch.observe(wrong[i % 3]);
  EXPECT_EQ(watch.verdict(), WatchVerdict::kRollBack);
  EXPECT_LT(watch.num_conversations(), 20);
  for (int i = 0; i < 1000; ++i) watch.observe(0.5);
  EXPECT_EQ(watch.verdict(), WatchVerdict::kRollBack) << "it stays";
}

}  // namespace
}  // namespace forerun
