#include "server/speculation_routes.h"

#include "server/json_reply.h"

namespace forerun {
namespace {

double share(double part, double whole) {
  return whole > 0.0 ? part / whole : 0.0;
}

OrderedJson speculation_json(const EngineStats& engine) {
  const SpeculationStats& stats = engine.speculation;
  const auto drafts = static_cast<double>(stats.drafts);
  OrderedJson places = OrderedJson::array();
  for (const int64_t accepted : stats.accepted_at) {
    if (accepted == 0) break;
    places.push_back(share(static_cast<double>(accepted), drafts));
  }
  OrderedJson sources = OrderedJson::object();
  for (int i = 0; i < kNumDraftSources; ++i) {
    sources[std::string(draft_source_name(static_cast<DraftSource>(i)))] = {
        {"draft_tokens", stats.by_source[i].drafted},
        {"accepted_tokens", stats.by_source[i].accepted}};
  }
  return {{"steps", engine.steps},
          {"generated_tokens", engine.generated_tokens},
          {"drafts", stats.drafts},
          {"draft_tokens", stats.draft_tokens},
          {"accepted_tokens", stats.accepted_tokens},
          // One token follows what is accepted of a draft.
          {"acceptance_length", 1.0 + share(static_cast<double>(stats.accepted_tokens), drafts)},
          {"accepted_by_place", std::move(places)},
          {"by_source", std::move(sources)},
          {"drafting_share", share(stats.seconds, engine.step_seconds)},
          {"mispredicted_share", share(engine.mispredicted_seconds, engine.step_seconds)}};
}

}  // namespace

void add_speculation_routes(Router& router, ModelService& service) {
  router.add(
      {"GET", "/forerun/speculation", Access::kUser, [&service](const ExchangePtr& exchange) {
         reply_json(*exchange, speculation_json(service.engine.snapshot().engine));
       }});
}

}  // namespace forerun
