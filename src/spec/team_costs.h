#pragma once

#include <vector>

#include "spec/step_cost.h"

namespace forerun {

// What steps cost by the size of the team that makes them: as they were timed, and what was learned
// of each size while it worked, which is put aside while another one does.
class TeamCosts final {
 public:
  TeamCosts() = default;
  TeamCosts(int threads, const StepCost& timed) { add(threads, timed); }

  // Steps of so many threads were timed. Before anybody else reads.
  void add(int threads, const StepCost& timed);
  // Those of a model whose steps take `factor` times as long, without what was learned.
  TeamCosts scaled(double factor) const;

  // As they were timed, never changing: any thread may ask. Of a size that was not timed, the work
  // of the next larger one that was (else the largest) divided by fewer, until it is observed.
  StepCost timed(int threads) const;

  // The team has another size: what was learned of the old one is kept, and what is known of the
  // new one returned. May allocate when a size comes for the first time.
  StepCost exchange(int old_threads, const StepCost& learned, int threads);

 private:
  struct OfSize {
    int threads;
    StepCost cost;
  };
  std::vector<OfSize> timed_;  // ascending
  std::vector<OfSize> learned_;
};

}  // namespace forerun
