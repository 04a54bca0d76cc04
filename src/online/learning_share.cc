#include "online/learning_share.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "online/round_time.h"

namespace forerun {
namespace {

constexpr double kLooksHeld = 4.0;
// What is older than that counts for less than 1 / e.
constexpr double kRecentSeconds = 100.0;
constexpr double kRateSeconds = 300.0;
// So much work tells a rate.
constexpr double kLeastRateSeconds = 5.0;
// Before a rate is measured: operations a second of a thread, and those that a weight takes for a
// token, forward and backward, unrolled three times. Of a saturated machine, idle priority gets a
// few hundredths: what the engine's threads leave between two steps.
constexpr double kOperations = 4e10;
constexpr double kOperationsPerWeight = 6.0 * 3.0;
constexpr double kLeastLeftOver = 0.03;

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof(text), "%+.1f %%", 100.0 * share);
  return text;
}

std::string threads_of(int count, int all) {
  return std::to_string(count) + " of " + std::to_string(all) + " threads";
}

double ratio(double a, double b, double otherwise) {
  return b > 0.0 ? a / b : otherwise;
}

}  // namespace

int spare_threads(int threads) {
  return threads <= 4 ? threads / 2 : threads / 4;
}

double head_parameters(const ModelDescriptor& model, int64_t draft_vocab) {
  const auto d = static_cast<double>(model.d_model);
  const auto queries = static_cast<double>(model.q_dim());
  const auto keys = static_cast<double>(model.kv_dim());
  const double attention = 2.0 * d * (queries + 2.0 * keys) + queries * d;
  const double feed_forward = 3.0 * d * static_cast<double>(model.d_ff);
  return 3.0 * d * d + attention + feed_forward + static_cast<double>(draft_vocab) * d;
}

// --- How fast it trains.

void LearningShare::trainer_told(double now, int64_t trained_tokens, double idle_seconds) {
  if (told_at_) {
    add_rate(static_cast<double>(trained_tokens - told_tokens_),
             std::max(0.0, now - *told_at_ - idle_seconds));
  }
  told_at_ = now;
  told_tokens_ = trained_tokens;
}

void LearningShare::add_rate(double tokens, double seconds) {
  Rate& rate = has_own_ ? rate_own_ : rate_idle_;
  const double kept = std::exp(-seconds / kRateSeconds);
  rate = {kept * rate.tokens + std::max(0.0, tokens), kept * rate.seconds + seconds};
}

double LearningShare::own_rate() const {
  if (rate_own_.seconds >= kLeastRateSeconds) return rate_own_.tokens / rate_own_.seconds;
  return options_.spare * kOperations / (kOperationsPerWeight * options_.head_weights);
}

double LearningShare::idle_rate(double busy) const {
  if (rate_idle_.seconds >= kLeastRateSeconds) return rate_idle_.tokens / rate_idle_.seconds;
  return own_rate() * std::max(kLeastLeftOver, 1.0 - busy);
}

// --- What is served.

void LearningShare::add_recent(double now, const LearningSituation& situation) {
  const EngineLoad& load = situation.load;
  const double seconds = now - looked_at_;
  looked_at_ = now;
  if (has_load_) {
    const double kept = std::exp(-seconds / kRecentSeconds);
    const auto add = [&](double EngineLoad::* sum) {
      recent_.*sum = kept * recent_.*sum + (load.*sum - load_.*sum);
    };
    add(&EngineLoad::busy_seconds);
    add(&EngineLoad::sequence_seconds);
    add(&EngineLoad::key_seconds);
    add(&EngineLoad::timed_seconds);
    add(&EngineLoad::timed_smaller_seconds);
    const auto tokens = static_cast<double>(load.generated_tokens - load_.generated_tokens);
    recent_tokens_ = kept * recent_tokens_ + tokens;
    recent_lessons_ = kept * recent_lessons_ + (situation.lesson_tokens - lessons_);
    recent_answers_ = kept * recent_answers_ + (situation.answers - answers_);
    recent_seconds_ = kept * recent_seconds_ + seconds;
  }
  has_load_ = true;
  load_ = load;
  lessons_ = situation.lesson_tokens;
  answers_ = situation.answers;
}

// Until a candidate is judged on this traffic, what was learned before is worth as many tokens as
// would make a head as good as the one that drafts.
void LearningShare::follow_traffic(const LearningSituation& situation) {
  const auto trained = static_cast<double>(situation.trained_tokens);
  if (situation.heads.traffic_moves != traffic_moves_) {
    traffic_moves_ = situation.heads.traffic_moves;
    head_start_ = least_head_start_ = -trained;
  }
  if (!situation.heads.judged.empty() || !situation.heads.current) return;
  const double worth = LearningCurve::prior_tokens(*situation.heads.current) - trained;
  head_start_ = std::max(least_head_start_, worth);
}

RoundTimes LearningShare::round_times(DecodingCost cost) const {
  cost.sequences = std::max(1.0, ratio(recent_.sequence_seconds, recent_.busy_seconds, 1.0));
  const double keys = ratio(recent_.key_seconds, recent_.sequence_seconds, 0.0);
  RoundTimes rounds;
  for (int depth = 0; depth <= kMostForecastDrafts; ++depth) {
    rounds[depth] = round_seconds(cost, options_.head_size, depth, static_cast<int64_t>(keys));
  }
  return rounds;
}

ForecastInput LearningShare::input(const LearningSituation& situation) const {
  const double busy = std::clamp(ratio(recent_.busy_seconds, recent_seconds_, 0.0), 0.0, 1.0);
  const double slowdown =
      std::max(1.0, ratio(recent_.timed_smaller_seconds, recent_.timed_seconds, 1.0));
  return {
      .curve = LearningCurve(situation.heads.judged, static_cast<double>(situation.trained_tokens),
                             head_start_, situation.heads.current),
      .tokens_per_second = ratio(recent_tokens_, recent_seconds_, 0.0),
      .busy = busy,
      .trainable_per_second = options_.reuse * ratio(recent_lessons_, recent_seconds_, 0.0),
      .delay_seconds = ratio(options_.verdict_answers * recent_seconds_, recent_answers_, 0.0),
      .idle = {.trained_per_second = idle_rate(busy), .rounds = round_times(situation.all)},
      // Measured at other times; what is left over comes on top.
      .own = {.trained_per_second = std::max(own_rate(), idle_rate(busy)),
              .rounds = round_times(situation.smaller),
              .slowdown = slowdown}};
}

// --- What follows.

// A trainer that waits for processors tells nothing, which is a rate, too; one that has nothing to
// train on waits for nobody.
void LearningShare::note_waiting(double now, const LearningSituation& situation) {
  if (!situation.is_behind) return behind_since_.reset();
  if (!behind_since_) behind_since_ = now;
  if (!told_at_) return;
  const double idle = std::max(0.0, *behind_since_ - *told_at_);
  if (now - *told_at_ - idle <= options_.look_seconds / 2.0) return;
  trainer_told(now, situation.trained_tokens, idle);
}

std::optional<ShareDecision> LearningShare::look(double now, const LearningSituation& situation) {
  note_waiting(now, situation);
  add_recent(now, situation);
  follow_traffic(situation);
  forecast_ = recent_seconds_ > 0.0 && situation.trains ? forerun::forecast(input(situation))
                                                        : LearningForecast();
  if (has_own_ && !situation.trains) return change(now, situation);
  if (now < changed_at_ + kLooksHeld * options_.look_seconds) return std::nullopt;
  const bool wants =
      forecast_.gain > (has_own_ ? std::min(options_.least_gain, 0.0) : options_.least_gain);
  if (wants == has_own_) return std::nullopt;
  return change(now, situation);
}

ShareDecision LearningShare::change(double now, const LearningSituation& situation) {
  // The step being made counts for the new share.
  if (told_at_) told_at_ = now;
  has_own_ = !has_own_;
  changed_at_ = now;
  const std::string what = threads_of(options_.spare, options_.threads);
  const std::string learned = percent(forecast_.learned);
  const std::string lost = percent(forecast_.lost);
  std::string reason;
  if (has_own_) {
    reason = "learning takes " + what + ": over the next hour " + learned +
             " tokens by what it learns, " + lost + " by slower steps";
  } else if (!situation.trains) {
    reason = "learning gives " + what + " back: nothing trains";
  } else {
    reason = "learning gives " + what + " back: over the next hour they would bring " + learned +
             " tokens, and cost " + lost;
  }
  return {has_own_, std::move(reason), forecast_};
}

}  // namespace forerun
