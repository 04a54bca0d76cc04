#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// SGLang's POST /generate and /abort_request.
void add_generate_routes(Router& router, ModelService& service);

}  // namespace forerun
