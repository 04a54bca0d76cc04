#pragma once

#include "server/model_service.h"
#include "server/router.h"

namespace forerun {

// SGLang's GET /server_info, /model_info and their older names, /flush_cache by GET and POST.
void add_info_routes(Router& router, ModelService& service);

}  // namespace forerun
