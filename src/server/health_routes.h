#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// GET /health, /ping, /health_generate, /version.
void add_health_routes(Router& router, ModelService& service);

}  // namespace forerun
