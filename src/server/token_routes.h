#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// POST /tokenize and /detokenize, GET /tokenizer_info, in vLLM's shapes.
void add_token_routes(Router& router, ModelService& service);

}  // namespace forerun
