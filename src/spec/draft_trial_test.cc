#include "spec/draft_trial.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace forerun {
namespace {

// Steps of a machine where those that may draft are `gain` times as fast, and all take up to a
// fifth more or less at random.
class Machine {
 public:
  // After enough steps for a verdict, which are not counted.
  static Machine settled(double gain) {
    Machine machine;
    machine.share_drafting(gain, 3'000);
    machine.taken_seconds = 0.0;
    return machine;
  }
  // How many of `steps` steps draft.
  double share_drafting(double gain, int steps) {
    int drafting = 0;
    for (int i = 0; i < steps; ++i) {
      const bool drafts = trial.drafts();
      const uint32_t drawn = philox({steps_++, 0, 0, 0}, {7, 8})[0];
      const double noise = 0.8 + 0.4 * static_cast<double>(drawn) / 4294967296.0;
      const double first = drafts && !drafted_ ? catching_up : 0.0;
      const double step = slowness * noise / (drafts ? gain : 1.0) + first;
      trial.observe(/*plain_seconds=*/1.0, step);
      taken_seconds += step / slowness;
      drafting += drafts ? 1 : 0;
      drafted_ = drafts;
      slowness *= slowing;
    }
    return static_cast<double>(drafting) / steps;
  }

  DraftTrial trial;
  double slowness = 1.0;
  double slowing = 1.0;      // from step to step
  double catching_up = 0.0;  // seconds of the first step that drafts again
  double taken_seconds = 0.0;

 private:
  uint32_t steps_ = 0;
  bool drafted_ = false;
};

TEST(DraftTrial, DoesWithoutWhereDraftsCostMoreThanTheyBring) {
  for (const double gain : {0.98, 0.95, 0.8, 0.5}) {
    Machine machine = Machine::settled(gain);
    EXPECT_LT(machine.share_drafting(gain, 20'000), 0.25) << gain;
    EXPECT_LT(machine.taken_seconds, 20'000 * 1.006) << gain;
  }
}

TEST(DraftTrial, DraftsWhereThatPays) {
  for (const double gain : {1.02, 1.1, 1.5, 3.0}) {
    Machine machine = Machine::settled(gain);
    EXPECT_GT(machine.share_drafting(gain, 20'000), 0.75) << gain;
    EXPECT_LT(machine.taken_seconds, 20'000 / gain * 1.01) << gain;
  }
}

TEST(DraftTrial, AMachineThatGetsSlowerDoesNotCount) {
  for (const double slowing : {1.0002, 0.9998}) {
    Machine machine;
    machine.slowing = slowing;
    EXPECT_GT(machine.share_drafting(1.05, 10'000), 0.7) << slowing;
    EXPECT_LT(machine.share_drafting(0.95, 10'000), 0.5) << slowing;
  }
}

TEST(DraftTrial, FollowsTraffic) {
  Machine machine;
  EXPECT_LT(machine.share_drafting(0.97, 10'000), 0.3);
  machine.share_drafting(1.2, 2'000);
  EXPECT_GT(machine.share_drafting(1.2, 5'000), 0.9);
  machine.share_drafting(0.9, 10'000);
  EXPECT_LT(machine.share_drafting(0.9, 5'000), 0.2);
}

TEST(DraftTrial, CatchingUpIsNotCounted) {
  Machine machine;
  machine.catching_up = 3.0;
  EXPECT_GT(machine.share_drafting(1.1, 10'000), 0.7);
}

}  // namespace
}  // namespace forerun
