#include "online/round_time.h"

#include <algorithm>
#include <cmath>

#include "models/eagle3_head.h"

namespace forerun {

double head_size(const Eagle3Head& head, const Model& target) {
  return static_cast<double>(head.weights().file_bytes_per_step) /
         static_cast<double>(target.weights().file_bytes_per_step);
}

double round_seconds(const DecodingCost& cost, double head_size, int depth, int64_t keys) {
  const auto sequences = static_cast<int64_t>(std::max(1.0, std::round(cost.sequences)));
  StepWork verified;
  StepWork drafted;
  for (int64_t i = 0; i < sequences; ++i) {
    verified.add_sequence(depth + 1, keys);
    drafted.add_sequence(1, std::min<int64_t>(keys, Eagle3Head::kWindow));
  }
  const double drafting = cost.step.scaled(head_size * cost.drafting).predict(drafted);
  return (cost.step.predict(verified) + depth * drafting) / static_cast<double>(sequences);
}

}  // namespace forerun
