#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace forerun {

// Whether a head may replace the one that drafts: statistics over conversations on which both were
// measured. The unit is the log speed-up of a conversation, log(seconds with the incumbent /
// seconds with the candidate), both for the same tokens.

// One conversation in eight is never trained on; what is measured on those alone is no
// self-deception. Any 64-bit id will do.
bool is_held_out(uint64_t conversation);

// What both heads took for a conversation's tokens, in the same unit.
struct PairedTime {
  double incumbent_s = 0.0;
  double candidate_s = 0.0;
};

// Where a candidate stands: it is judged at 64 conversations, and where that says neither yes nor
// no again at 128 and 256, or at the end that something else puts to it.
struct GateLooks {
  int64_t candidate = 0;  // since the reset, from 1; 0: it was not judged yet
  int taken = 0;

  // Conversations that the next look takes.
  constexpr int64_t due() const { return int64_t{64} << taken; }
};

struct GateVerdict {
  int64_t candidate = 0;  // as in GateLooks; 0: it was not tested
  int64_t num_conversations = 0;
  double mean = 0.0;   // log speed-up
  double bound = 0.0;  // that the mean is above, at the level 1 − alpha
  double alpha = 0.0;  // what this look was allowed to err with
  bool passed = false;
  bool is_open = false;  // neither yes nor no: worth another look
  std::string reason;    // a sentence
};

// Passes a candidate when the lower confidence bound of its mean log speed-up is above log(1.005),
// from at least 64 conversations. The i-th candidate is tested at the level 0.05 / (i · (i + 1)),
// so that the chance of passing any that is not faster stays at the bound's own, 0.05 in all. Its
// looks share that: the first takes half, the second a quarter, the last what is left. With
// log speed-ups that deviate by 5 %, one of 2 % passes at 64 conversations in one case of two, by
// 256 in nearly all. One whose mean is below log(1.005) is not looked at again.
//
// The bound is that of the bootstrap-t over conversations (Efron 1981) with 10,000 resamples, or
// the normal one where that is lower. Small levels and log speed-ups with rare losses are where a
// gate errs: at a level of 0.0017 and exponential losses the percentile bound errs 8 times as
// often, BCa 5 times. This one passes 2.6 % of normal, 2.7 % of so skewed and 2.4 % of heavy-tailed
// (Student, 3 degrees) null candidates where 2.5 % are meant, of 64 conversations. What no
// conversation has shown no bound can know: a head that rarely loses very much may pass. The same
// seed and numbers give the same verdict.
class PairedGate final {
 public:
  static constexpr int64_t kLeastConversations = GateLooks().due();
  static constexpr int kMostLooks = 3;
  static constexpr double kLeastSpeedup = 1.005;
  static constexpr double kAlpha = 0.05;
  static constexpr int64_t kResamples = 10'000;

  // `num_judged`: candidates tested before, where the program was started anew.
  explicit PairedGate(uint64_t seed, int64_t num_judged = 0)
      : seed_(seed), num_judged_(num_judged) {}

  // Too few conversations, or times that are none, are refused without a test and cost no level.
  // `looks`: of this candidate, all on the same pairs and further ones. `is_last`: nobody will look
  // again.
  GateVerdict judge(std::span<const PairedTime> times, GateLooks& looks, bool is_last);
  // The traffic is another: what was tested on the old one counts no more.
  void reset() { num_judged_ = 0; }
  int64_t num_judged() const { return num_judged_; }

 private:
  uint64_t seed_;
  int64_t num_judged_;
};

enum class WatchVerdict { kUndecided, kKeep, kRollBack };

// Watches a swap: the old and the new head, replayed on the same new conversations, one after the
// other, for as long as it takes. Two tests by betting (Waudby-Smith and Ramdas 2023) run at once,
// each a mixture over fixed stakes; an e-process is stopped when it exceeds 1 / 0.05.
//
// Whenever one stops, the chance of kRollBack is at most 0.05 when every conversation's expected
// log speed-up, given those before, is not negative, and that of kKeep at most 0.05 when it is not
// positive (Ville's inequality). The log speed-ups are cut to ±0.5 first and it is their mean that
// is meant. Equal heads may stay undecided for ever: how long to watch is the caller's affair.
class SequentialWatch final {
 public:
  static constexpr double kAlpha = 0.05;
  static constexpr double kMostLogSpeedup = 0.5;

  // A log speed-up of the new head over the old; what is not a number counts as the worst. Once
  // decided, a verdict stays.
  WatchVerdict observe(double log_speedup);
  WatchVerdict verdict() const { return verdict_; }
  int64_t num_conversations() const { return num_conversations_; }

 private:
  static constexpr int kStakes = 8;
  using Wealth = std::array<double, kStakes>;  // its logarithm, for each stake
  static double bet(Wealth& wealth, double gain);

  Wealth for_new_ = {};  // bets that the new head is faster
  Wealth for_old_ = {};
  int64_t num_conversations_ = 0;
  WatchVerdict verdict_ = WatchVerdict::kUndecided;
};

}  // namespace forerun
