#pragma once

#include "engine/request.h"
#include "server/json_fields.h"
#include "server/model_service.h"

namespace forerun {

// OpenAI's predicted outputs: `prediction` {"type": "content", "content": a text, or parts of one}.
// Its tokens become Request::prediction.
void read_prediction(JsonFields& fields, const ModelService& service, Request& request);

}  // namespace forerun
