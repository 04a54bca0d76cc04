#include "spec/team_costs.h"

#include <algorithm>

#include "base/check.h"

namespace forerun {

void TeamCosts::add(int threads, const StepCost& timed) {
  const auto place = std::ranges::lower_bound(timed_, threads, {}, &OfSize::threads);
  timed_.insert(place, {threads, timed});
}

TeamCosts TeamCosts::scaled(double factor) const {
  TeamCosts costs;
  for (const OfSize& one : timed_) costs.timed_.push_back({one.threads, one.cost.scaled(factor)});
  return costs;
}

StepCost TeamCosts::timed(int threads) const {
  CHECK(!timed_.empty(), "steps of some team were timed");
  auto found = std::ranges::lower_bound(timed_, threads, {}, &OfSize::threads);
  if (found == timed_.end()) --found;
  if (found->threads == threads) return found->cost;
  return found->cost.scaled(static_cast<double>(found->threads) / threads);
}

StepCost TeamCosts::exchange(int old_threads, const StepCost& learned, int threads) {
  const auto old = std::ranges::find(learned_, old_threads, &OfSize::threads);
  if (old == learned_.end()) {
    learned_.push_back({old_threads, learned});
  } else {
    old->cost = learned;
  }
  const auto known = std::ranges::find(learned_, threads, &OfSize::threads);
  return known == learned_.end() ? timed(threads) : known->cost;
}

}  // namespace forerun
