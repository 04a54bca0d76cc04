#pragma once

#include <string>

#include "server/json_fields.h"
#include "server/server_options.h"

namespace forerun {

bool is_served(const ServerOptions& options, const std::string& name);

// A 404 that lists what is served.
RequestError model_not_found(const ServerOptions& options, const std::string& name);

// The model a request asks for; where it names none, the first one.
std::string read_model(JsonFields& fields, const ServerOptions& options);

}  // namespace forerun
