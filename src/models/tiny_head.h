#pragma once

#include "base/json.h"
#include "formats/safetensors_writer.h"

namespace forerun {

// The tensors of a small random EAGLE-3 head for tests, made in code: every weight follows from its
// name (tests/golden/make_tiny_eagle3.py has the rule and computes such heads independently). The
// sizes are those of `config`, the head's config.json; its tokens are the first of the target's.
SafetensorsWriter make_tiny_head(const Json& config);

// One of the target's vocabulary and d_model of src/models/tiny_model.h.
Json tiny_head_config();

// Element `index` of tensor `name`, by the rule.
float tiny_head_weight(const std::string& name, int64_t index);

}  // namespace forerun
