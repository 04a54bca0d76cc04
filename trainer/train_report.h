#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "loss.h"

namespace forerun {

// Of the steps since the last report.
struct TrainReport {
  int64_t step = 0;                // the last one
  double loss = 0.0;               // of tokens that came
  int64_t branch_rows = 0;         // tokens that were drafted in vain, and learnt from
  double branch_loss = 0.0;        // mean of these
  std::vector<double> accuracies;  // of each step of the unroll; misses of what has no logit count
  double tokens_per_second = 0.0;  // of slots in records
  double flops_per_second = 0.0;   // as BatchLoss::flops
  int64_t skipped = 0;             // batches, of the whole run
  int64_t refused = 0;             // records, of this pass

  // 1 + a0 + a0 · a1 + …: tokens of a verified chain, the target's own included.
  double acceptance_length() const;
};

// What a report tells, summed over its batches.
class TrainTally final {
 public:
  explicit TrainTally(int steps) : sums_(static_cast<size_t>(steps)) {}

  void add(const BatchLoss& loss, int64_t num_slots);
  int64_t batches() const { return batches_; }
  // Of at least one batch. Rates are of the time since this was made.
  TrainReport report() const;

 private:
  std::vector<StepTally> sums_;
  double loss_ = 0.0;
  int64_t branch_rows_ = 0;
  double branch_loss_ = 0.0;  // summed over rows
  double flops_ = 0.0;
  int64_t slots_ = 0;
  int64_t batches_ = 0;
  double begin_ = now_seconds();
};

}  // namespace forerun
