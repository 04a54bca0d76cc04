#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "spec/step_cost.h"

namespace forerun {

// What a sequence's draft may bring to the step.
struct DraftCurve {
  std::span<const float> survival;  // that the first i + 1 tokens are all accepted; descending
  int64_t keys = 0;                 // before the draft's first token
  int length = 0;                   // chosen: tokens of the draft to verify
};

// That much is to be gained at least, for the prediction is not exact.
constexpr double kLeastGain = 1.03;

struct DraftBudget {
  double tokens = 0.0;       // the step brings without drafts
  StepWork decoding;         // that these take
  StepWork work;             // all of the step's without drafts, prefill included
  double max_seconds = 0.0;  // it may take, as predicted
  int64_t max_rows = 0;      // of drafts

  // Prefill's own time, which counts for nothing: it has to be spent anyway.
  double prefill_seconds(const StepCost& cost) const {
    return cost.predict(work) - cost.predict(decoding);
  }
};

// Cuts drafts to the lengths at which a step of all sequences brings the most tokens a second, as
// `cost` predicts: rows go to the tokens most likely to survive, and none to anybody where that
// does not gain at least kLeastGain. Prefill's own time counts for
// nothing, since it has to be spent anyway. Returns the tokens a second that are expected. `heap`
// is memory to work with, with room for all curves.
double choose_lengths(const DraftBudget& budget, const StepCost& cost, std::span<DraftCurve> curves,
                      std::vector<int32_t>& heap);

}  // namespace forerun
