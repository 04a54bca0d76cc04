#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// GET /forerun/speculation: what drafts have brought since the start, by place and by source.
void add_speculation_routes(Router& router, ModelService& service);

}  // namespace forerun
