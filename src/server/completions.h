#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// POST /v1/completions: OpenAI's legacy endpoint, where the caller writes the whole prompt.
void add_completion_routes(Router& router, ModelService& service);

}  // namespace forerun
