#pragma once

#include <string_view>

#include "server/router.h"

namespace forerun {

// openapi.json beside this file, put into the program by cmake/embed_text.cmake: what every path
// takes and answers, in OpenAPI 3.1.
std::string_view openapi_text();

// GET /openapi.json.
void add_openapi_route(Router& router);

}  // namespace forerun
