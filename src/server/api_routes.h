#pragma once

#include "server/chat_completions.h"
#include "server/completions.h"
#include "server/embeddings.h"
#include "server/generate.h"
#include "server/health_routes.h"
#include "server/info_routes.h"
#include "server/model_routes.h"
#include "server/speculation_routes.h"
#include "server/token_routes.h"

namespace forerun {

// Everything that clients call.
inline void add_api_routes(Router& router, ModelService& service) {
  add_chat_routes(router, service);
  add_completion_routes(router, service);
  add_embedding_routes(router, service);
  add_generate_routes(router, service);
  add_health_routes(router, service);
  add_info_routes(router, service);
  add_speculation_routes(router, service);
  add_model_routes(router, service);
  add_token_routes(router, service);
}

}  // namespace forerun
