#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "models/descriptor.h"
#include "online/head_scorer.h"
#include "online/learned_heads.h"
#include "online/learning_forecast.h"

namespace forerun {

// Threads of a team of `threads` that learning may take where it pays: half of up to four, since
// less would be none, a quarter of more, since decoding is bound by memory, which three quarters of
// the cores use up nearly as well. 0 of one.
int spare_threads(int threads);

// Weights of an EAGLE-3 head of the model that drafts so many tokens.
double head_parameters(const ModelDescriptor& model, int64_t draft_vocab);

// What is known when it is decided.
struct LearningSituation {
  EngineLoad load;
  // What decoding takes as timed by all threads and by the smaller team; how many sequences decode
  // together is the load's to tell.
  DecodingCost all;
  DecodingCost smaller;
  LearnedHeads heads;
  int64_t trained_tokens = 0;  // by the trainer, those of earlier runs included
  double lesson_tokens = 0.0;  // answered tokens that went to the trainer, since the begin
  double answers = 0.0;        // recorded, since the begin
  bool trains = true;          // there is a trainer that may work
  bool is_behind = false;      // what went to it waits
};

// Learning has processors of its own from now on, or none any more.
struct ShareDecision {
  bool takes = false;
  std::string reason;  // a sentence with the numbers
  LearningForecast forecast;
};

// Decides whether learning has processors of its own, by what it would bring over the next hour
// (learning_forecast.h). Taking them needs 1 %; they are given back when they bring nothing any
// more, at once when nothing trains; a decision holds for four looks. Knows no threads and no
// clock.
class LearningShare final {
 public:
  struct Options {
    int threads = 2;                 // of the engine
    int spare = 1;                   // of them that learning may take
    double reuse = 4.0;              // times that a token is trained on
    double head_weights = 1e7;       // head_parameters()
    double head_size = 0.1;          // a head's bytes against the target's
    double verdict_answers = 114.0;  // that come from a training step to its verdict, in the mean
    double look_seconds = 30.0;
    double least_gain = 0.01;  // that they are taken for, in shares of the tokens served
  };
  LearningShare(const Options& options, double now) : options_(options), changed_at_(now) {
    looked_at_ = now;
  }

  // A trainer begins: what it tells of is counted anew.
  void trainer_began() { told_at_.reset(); }
  // It has told of its steps: tokens trained on in all, and for how long of the time since it told
  // last there was nothing to do.
  void trainer_told(double now, int64_t trained_tokens, double idle_seconds);

  bool is_due(double now) const { return now >= looked_at_ + options_.look_seconds; }
  // When due. What changes, if anything does.
  std::optional<ShareDecision> look(double now, const LearningSituation& situation);

  // Processors that learning has of its own.
  int own_threads() const { return has_own_ ? options_.spare : 0; }
  // The last look's.
  const LearningForecast& forecast() const { return forecast_; }

 private:
  // Tokens trained on in so many seconds with something to do, of late.
  struct Rate {
    double tokens = 0.0;
    double seconds = 0.0;
  };
  void add_rate(double tokens, double seconds);
  void note_waiting(double now, const LearningSituation& situation);
  void add_recent(double now, const LearningSituation& situation);
  void follow_traffic(const LearningSituation& situation);
  double own_rate() const;
  double idle_rate(double busy) const;
  RoundTimes round_times(DecodingCost cost) const;
  ForecastInput input(const LearningSituation& situation) const;
  ShareDecision change(double now, const LearningSituation& situation);

  Options options_;
  bool has_own_ = false;
  double changed_at_;
  double looked_at_;
  LearningForecast forecast_;

  std::optional<double> told_at_;
  std::optional<double> behind_since_;  // the first look that found it so
  int64_t told_tokens_ = 0;
  Rate rate_idle_;
  Rate rate_own_;

  // Sums up to the last look, and those of late: what is older counts less.
  EngineLoad load_;
  double lessons_ = 0.0;
  double answers_ = 0.0;
  bool has_load_ = false;
  EngineLoad recent_;
  double recent_tokens_ = 0.0;  // generated
  double recent_lessons_ = 0.0;
  double recent_answers_ = 0.0;
  double recent_seconds_ = 0.0;

  // LearningCurve's; what was learned before the traffic moved last is none of this one's.
  double head_start_ = 0.0;
  double least_head_start_ = 0.0;
  int64_t traffic_moves_ = 0;
};

}  // namespace forerun
