#pragma once

#include <initializer_list>

#include "engine/request.h"
#include "server/json_fields.h"
#include "server/model_service.h"

namespace forerun {

// The fields that say how an answer is made, into a request without a prompt. What is absent stays
// as the model's makers advise. `length_names` are what a surface calls max_tokens, of which the
// first one given counts; without one it is `max_tokens`, where 0 is as many as the context holds.
// Log-probs are not among them: each surface asks for them in its own way.
void read_sampling_fields(JsonFields& fields, const ModelService& service,
                          std::initializer_list<const char*> length_names, int64_t max_tokens,
                          Request& request);

}  // namespace forerun
