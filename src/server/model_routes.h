#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// GET /v1/models, /v1/models/{id}.
void add_model_routes(Router& router, ModelService& service);

}  // namespace forerun
