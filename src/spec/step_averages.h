#pragma once

#include <array>

#include "spec/step_cost.h"

namespace forerun {

// What steps take for long: as they were timed at load, times what they have taken against that in
// the mean of the last minutes, by classes of rows. A StepCost's own scales follow twenty steps,
// which is right for the next one; who decides for an hour must not go by a moment, neither by the
// one at load. Sizes that were not made yet are taken to be as much slower as all others are.
class StepAverages final {
 public:
  StepAverages() = default;
  explicit StepAverages(const StepCost& timed) : timed_(timed) {}

  // A step took `seconds`.
  void observe(const StepWork& work, double seconds);
  // What steps that were timed so at load come to; of another team's size, too, which is taken to
  // come out as this one has.
  StepCost cost_of(const StepCost& timed) const;

 private:
  struct Sums {
    double seconds = 0.0;
    double timed = 0.0;  // that the same steps would have taken at load
  };

  StepCost timed_;
  std::array<Sums, StepCost::kSizes> of_sizes_;
};

}  // namespace forerun
