#include "server/health_routes.h"

#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/version.h"
#include "server/generation.h"
#include "server/json_reply.h"

namespace forerun {
namespace {

// Why the server is not healthy, or nothing.
std::string complaint(const ModelService& service) {
  if (service.engine.draining()) return "the server is shutting down";
  const double seconds = service.engine.snapshot().seconds_since_step;
  if (seconds <= service.options.stuck_seconds) return {};
  return "work is queued and no step has ended for " + std::to_string(static_cast<int>(seconds)) +
         " s";
}

void reply_health(const ModelService& service, Exchange& exchange) {
  const std::string wrong = complaint(service);
  if (!wrong.empty()) return exchange.reply(to_response({503, wrong, {}, {}}));
  reply_json(exchange, {{"status", "ok"}});
}

// Nothing but that a token came.
class TokenReply final : public Reply {
 public:
  std::string whole(const std::vector<GeneratedChoice>& /*choices*/,
                    const Usage& /*usage*/) override {
    return R"({"status":"ok"})";
  }
  void piece(const GeneratedChoice& /*choice*/, std::string& /*events*/) override {}
  void end(const Usage& /*usage*/, std::string& /*events*/) override {}
};

void generate_one_token(ModelService& service, ExchangePtr exchange) {
  Request request;
  request.prompt = {0};
  request.max_tokens = 1;
  request.use_prefix_cache = false;
  GenerationPlan plan;
  plan.requests.push_back(std::move(request));
  plan.reply = std::make_unique<TokenReply>();
  Generation::start(service, std::move(exchange), std::move(plan), now_seconds());
}

}  // namespace

void add_health_routes(Router& router, ModelService& service) {
  for (const char* path : {"/health", "/ping"}) {
    router.add({"GET", path, Access::kOpen,
                [&service](const ExchangePtr& exchange) { reply_health(service, *exchange); }});
  }
  router.add({"GET", "/health_generate", Access::kUser, [&service](ExchangePtr exchange) {
                generate_one_token(service, std::move(exchange));
              }});
  router.add({"GET", "/version", Access::kUser,
              [](const ExchangePtr& exchange) { reply_json(*exchange, {{"version", kVersion}}); }});
}

}  // namespace forerun
