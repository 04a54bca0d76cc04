#pragma once

#include <cstdint>

#include "spec/speculation.h"

namespace forerun {

// Whether drafting pays, measured: steps come in turns, and now and then one is made the other way,
// with drafts while there are none and without while there are. A turn is compared with its
// neighbours, so that a machine that gets slower does not count; what a policy predicts has no part
// in it. The dearer the other way has turned out, the more seldom it is tried.
class DraftTrial final {
 public:
  // Whether the next step may draft.
  bool drafts() const { return pays_ != is_other_turn_; }

  // A step took `seconds`, drafting included, for what takes `plain_seconds` without drafts as far
  // as is known; an error that all steps share does not count.
  void observe(double plain_seconds, double seconds);

  MeasuredGain measured() const;

 private:
  // What a turn's steps brought and took.
  struct Turn {
    double plain_seconds = 0.0;
    double seconds = 0.0;
  };

  void end_turn();
  void compare(const Turn& after);
  void decide();

  Turn turn_;
  int turn_steps_ = 0;
  Turn before_;  // the other turn
  Turn other_;
  bool is_other_turn_ = false;
  int turns_left_ = 0;  // to the next other one
  bool pays_ = true;
  double gain_ = 0.0;      // logarithm of the speed-up, the mean of comparisons
  double variance_ = 0.0;  // of a comparison
  int64_t num_compared_ = 0;
};

}  // namespace forerun
