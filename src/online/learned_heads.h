#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "online/learning_forecast.h"

namespace forerun {

// What came of training on the traffic as it is.
struct LearnedHeads {
  std::vector<MeasuredHead> judged;  // since it moved last; oldest first, the newest few
  std::optional<double> current;     // tokens a round of the head that drafts, where one does
  int64_t traffic_moves = 0;         // alarms that the traffic is another
};

}  // namespace forerun
