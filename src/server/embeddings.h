#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// POST /v1/embeddings.
void add_embedding_routes(Router& router, ModelService& service);

}  // namespace forerun
