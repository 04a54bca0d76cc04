#include "server/speculation_routes.h"

#include "server/json_reply.h"
#include "spec/draft_summary.h"
#include "spec/step_size.h"

namespace forerun {
namespace {

OrderedJson measured_json(const SpeculationStats& stats) {
  OrderedJson sizes = OrderedJson::array();
  for (int size = 1; size < kNumStepSizes; ++size) {
    const MeasuredGain& gain = stats.measured[size];
    if (gain.compared == 0) continue;
    sizes.push_back({{"sequences", least_sequences(size)},
                     {"speed_up", gain.speed_up},
                     {"drafts", gain.drafts},
                     {"compared", gain.compared}});
  }
  return sizes;
}

OrderedJson speculation_json(const EngineStats& engine) {
  const SpeculationStats& stats = engine.speculation;
  const auto of_steps = [&](double seconds) {
    return engine.step_seconds > 0.0 ? seconds / engine.step_seconds : 0.0;
  };
  OrderedJson sources = OrderedJson::object();
  for (int i = 0; i < kNumDraftSources; ++i) {
    sources[source_name(i)] = {{"draft_tokens", stats.by_source[i].drafted},
                               {"accepted_tokens", stats.by_source[i].accepted}};
  }
  return {{"steps", engine.steps},
          {"generated_tokens", engine.generated_tokens},
          {"drafts", stats.drafts},
          {"draft_tokens", stats.draft_tokens},
          {"accepted_tokens", stats.accepted_tokens},
          {"acceptance_length", acceptance_length(stats.drafts, stats.accepted_tokens)},
          {"accepted_by_place", accepted_by_place(stats)},
          {"by_source", std::move(sources)},
          {"measured", measured_json(stats)},
          {"drafting_share", of_steps(stats.seconds)},
          {"mispredicted_share", of_steps(engine.mispredicted_seconds)}};
}

}  // namespace

void add_speculation_routes(Router& router, ModelService& service) {
  router.add(
      {"GET", "/forerun/speculation", Access::kUser, [&service](const ExchangePtr& exchange) {
         reply_json(*exchange, speculation_json(service.engine.snapshot().engine));
       }});
}

}  // namespace forerun
