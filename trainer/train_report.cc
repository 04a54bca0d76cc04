#include "train_report.h"

#include <algorithm>

namespace forerun {

double TrainReport::acceptance_length() const {
  double length = 1.0;
  double chance = 1.0;
  for (const double accuracy : accuracies) length += chance *= accuracy;
  return length;
}

void TrainTally::add(const BatchLoss& loss, int64_t num_slots) {
  for (size_t i = 0; i < sums_.size(); ++i) {
    sums_[i].predictions += loss.steps[i].predictions;
    sums_[i].hits += loss.steps[i].hits;
  }
  loss_ += loss.sequence_loss;
  branch_rows_ += loss.branches.rows;
  branch_loss_ += loss.branches.loss * static_cast<double>(loss.branches.rows);
  flops_ += loss.flops;
  slots_ += num_slots;
  ++batches_;
}

TrainReport TrainTally::report() const {
  const double seconds = std::max(now_seconds() - begin_, 1e-9);
  TrainReport out;
  out.loss = loss_ / static_cast<double>(batches_);
  out.branch_rows = branch_rows_;
  out.branch_loss = branch_loss_ / static_cast<double>(std::max<int64_t>(branch_rows_, 1));
  for (const StepTally& sum : sums_) {
    out.accuracies.push_back(static_cast<double>(sum.hits) /
                             static_cast<double>(std::max<int64_t>(sum.predictions, 1)));
  }
  out.tokens_per_second = static_cast<double>(slots_) / seconds;
  out.flops_per_second = flops_ / seconds;
  return out;
}

}  // namespace forerun
