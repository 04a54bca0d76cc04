#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// POST /v1/chat/completions.
void add_chat_routes(Router& router, ModelService& service);

}  // namespace forerun
