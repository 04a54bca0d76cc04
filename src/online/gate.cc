#include "online/gate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

#include "base/philox.h"

namespace forerun {
namespace {

constexpr uint64_t kHeldOutOneIn = 8;

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::numbers::sqrt2);
}

double normal_quantile(double p) {
  double low = -40.0;
  double high = 40.0;
  for (int i = 0; i < 64; ++i) {
    const double middle = 0.5 * (low + high);
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return high;
}

struct Moments {
  double mean = 0.0;
  double deviation = 0.0;
};

Moments moments_of(std::span<const double> values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  const double mean = sum / static_cast<double>(values.size());
  double squares = 0.0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / static_cast<double>(values.size()))};
}

// The moments of as many values drawn with replacement, around `center`.
Moments resample(std::span<const double> values, double center, uint64_t seed,
                 std::array<uint32_t, 2> draw) {
  const size_t size = values.size();
  double sum = 0.0;
  double squares = 0.0;
  for (size_t i = 0; i < size; i += 4) {
    const auto bits = philox({static_cast<uint32_t>(i), draw[0], draw[1], 0},
                             {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    for (size_t j = 0; j < std::min<size_t>(4, size - i); ++j) {
      const double value = values[(uint64_t{bits[j]} * size) >> 32] - center;
      sum += value;
      squares += value * value;
    }
  }
  const double mean = sum / static_cast<double>(size);
  const double variance = squares / static_cast<double>(size) - mean * mean;
  return {mean, std::sqrt(std::max(variance, 0.0))};
}

// The level-p quantile of values around 0, which it reorders; p < 1/2. Ten must lie below a
// quantile that is read off; further out that one is drawn out as a normal tail.
double lower_quantile(std::vector<double>& values, double p) {
  const auto size = static_cast<double>(values.size());
  const double read = std::max(p, 10.0 / size);
  const auto quantile = values.begin() + static_cast<ptrdiff_t>(read * size);
  std::ranges::nth_element(values, quantile);
  return *quantile * (normal_quantile(p) / normal_quantile(read));
}

double lower_bound_of_mean(std::span<const double> values, const Moments& sample, double alpha,
                           uint64_t seed, int64_t candidate) {
  constexpr double kLeastDeviation = 1e-12;  // draws that are all alike
  std::vector<double> students(PairedGate::kResamples);
  for (size_t i = 0; i < students.size(); ++i) {
    const Moments drawn = resample(values, sample.mean, seed,
                                   {static_cast<uint32_t>(i), static_cast<uint32_t>(candidate)});
    students[i] = -drawn.mean / std::max(drawn.deviation, kLeastDeviation);
  }
  // Of heavy tails the bootstrap's quantile is too near, of skewed values the normal one.
  const double normal = normal_quantile(alpha) / std::sqrt(static_cast<double>(values.size()));
  return sample.mean + sample.deviation * std::min(lower_quantile(students, alpha), normal);
}

std::string tell(const GateVerdict& verdict) {
  char text[256];
  std::snprintf(text, sizeof(text),
                "over %lld conversations the candidate is %.2f %% faster, with a confidence of "
                "%.3f %% more than %.2f %%; the least is %.2f %%",
                static_cast<long long>(verdict.num_conversations), 100.0 * std::expm1(verdict.mean),
                100.0 * (1.0 - verdict.alpha), 100.0 * std::expm1(verdict.bound),
                100.0 * (PairedGate::kLeastSpeedup - 1.0));
  return text;
}

}  // namespace

bool is_held_out(uint64_t conversation) {
  // The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
  conversation = (conversation ^ (conversation >> 30)) * 0xBF58476D1CE4E5B9;
  conversation = (conversation ^ (conversation >> 27)) * 0x94D049BB133111EB;
  conversation ^= conversation >> 31;
  return conversation % kHeldOutOneIn == 0;
}

GateVerdict PairedGate::judge(std::span<const PairedTime> times, GateLooks& looks, bool is_last) {
  GateVerdict verdict;
  verdict.num_conversations = static_cast<int64_t>(times.size());
  if (verdict.num_conversations < kLeastConversations) {
    verdict.reason = std::to_string(times.size()) + " conversations were held out; it takes " +
                     std::to_string(kLeastConversations);
    return verdict;
  }
  std::vector<double> speedups;
  for (const PairedTime& time : times) {
    speedups.push_back(std::log(time.incumbent_s / time.candidate_s));
    const bool are_times = time.incumbent_s > 0.0 && time.candidate_s > 0.0;
    if (are_times && std::isfinite(speedups.back())) continue;
    verdict.reason = "conversation " + std::to_string(speedups.size()) + " of " +
                     std::to_string(times.size()) + " has a time that is none";
    return verdict;
  }
  if (looks.candidate == 0) looks.candidate = ++num_judged_;
  verdict.candidate = looks.candidate;
  is_last = is_last || looks.taken + 1 == kMostLooks;
  const double left = std::ldexp(1.0, -looks.taken++);  // of the candidate's level
  const auto i = static_cast<double>(verdict.candidate);
  verdict.alpha = kAlpha / (i * (i + 1.0)) * (is_last ? left : left / 2.0);
  const Moments sample = moments_of(speedups);
  verdict.mean = sample.mean;
  verdict.bound = lower_bound_of_mean(speedups, sample, verdict.alpha, seed_, verdict.candidate);
  const double least = std::log(kLeastSpeedup);
  verdict.passed = verdict.bound > least;
  verdict.is_open = !verdict.passed && !is_last && verdict.mean > least;
  verdict.reason = tell(verdict);
  return verdict;
}

WatchVerdict SequentialWatch::observe(double log_speedup) {
  if (verdict_ != WatchVerdict::kUndecided) return verdict_;
  ++num_conversations_;
  const double gain = std::isfinite(log_speedup)
                          ? std::clamp(log_speedup, -kMostLogSpeedup, kMostLogSpeedup)
                          : -kMostLogSpeedup;
  const double threshold = std::log(1.0 / kAlpha);
  const double evidence_for_new = bet(for_new_, gain);
  const double evidence_for_old = bet(for_old_, -gain);
  if (evidence_for_old >= threshold) {
    verdict_ = WatchVerdict::kRollBack;
  } else if (evidence_for_new >= threshold) {
    verdict_ = WatchVerdict::kKeep;
  }
  return verdict_;
}

// Bets on a positive `gain` with every stake; the logarithm of the mean wealth.
double SequentialWatch::bet(Wealth& wealth, double gain) {
  double stake = 0.9 / kMostLogSpeedup;  // below what the worst gain would ruin
  for (double& one : wealth) {
    one += std::log1p(stake * gain);
    stake /= 2.0;
  }
  const double most = *std::ranges::max_element(wealth);
  double sum = 0.0;
  for (const double one : wealth) sum += std::exp(one - most);
  return most + std::log(sum / kStakes);
}

}  // namespace forerun
