#pragma once

#include <array>
#include <span>

#include "online/replay.h"

namespace forerun {

// Chances that a head's drafts are right, place by place, those before it being so, of late.
class DraftChances final {
 public:
  static constexpr int kMostDepth = 6;

  DraftChances();

  // `kept`: of what is known so far, 0 … 1. A place that was not drafted is taken to be as good as
  // the one before it: longer drafts are tried again once shorter ones are right more often.
  void learn(const ReplayScore& score, double kept);

  double tokens_a_round(int drafts) const;

  // How many drafts give the most tokens a second. `seconds`: of rounds by their number, from none.
  int best_depth(std::span<const double, kMostDepth + 1> seconds) const;

 private:
  std::array<double, kMostDepth> right_;
};

}  // namespace forerun
