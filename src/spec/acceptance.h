#pragma once

#include <array>
#include <cstdint>

#include "spec/draft.h"
#include "spec/outcome_count.h"

namespace forerun {

// How likely drafted tokens are to be accepted, learnt from those that were and were not. Tokens
// are told apart by source, match, share and place in the draft; where a kind has hardly been seen
// its place is left out, and before that a guess stands. Old outcomes fade, so that it follows a
// change of traffic within some hundred tokens of a kind.
class Acceptance final {
 public:
  // That the token at `position` of a draft is accepted, those before it being so; 0 < p < 1. Of a
  // second choice, if the first one is not.
  double probability(const Evidence& evidence, int position) const;
  // What it is at least, as far as one can tell: drafts are chosen for their high probabilities,
  // and the highest of many estimates is too high.
  double cautious(const Evidence& evidence, int position) const;
  void observe(const Evidence& evidence, int position, bool accepted);

 private:
  static constexpr int kMatches = 8;    // 0, 1, 2–3, 4–7, … 64 and more
  static constexpr int kShares = 4;     // up to 0.4, 0.7, 0.95, 1
  static constexpr int kPositions = 6;  // 0, 1, 2–3, 4–7, 8–15, 16 and more

  struct Kind {
    OutcomeCount all;
    std::array<OutcomeCount, kPositions> by_position;
  };

  struct Estimate {
    double rate;
    double outcomes;  // it rests on
  };
  Estimate estimate(const Evidence& evidence, int position) const;
  static int kind_of(const Evidence& evidence);
  static int position_class(int position);

  std::array<Kind, static_cast<size_t>(2 * kNumDraftSources * kMatches * kShares)> kinds_;
};

}  // namespace forerun
