#include "engine/state.h"

namespace forerun {

void resize_team(EngineState& state) {
  const int wanted = state.wanted_threads.load(std::memory_order_relaxed);
  const int before = state.team.size();
  if (wanted == before) return;
  state.cost = state.team_costs.exchange(before, state.cost, wanted);
  state.first_cost = state.team_costs.timed(wanted);
  state.team.resize(wanted);
}

}  // namespace forerun
