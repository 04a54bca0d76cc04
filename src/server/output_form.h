#pragma once

#include <string>

#include "engine/request.h"
#include "server/json_fields.h"
#include "server/model_service.h"
#include "text/grammar.h"

namespace forerun {

// Has the answer follow what `response_format`, or `regex` or `grammar` (llguidance's Lark) or
// vLLM's guided_json, guided_regex and guided_grammar say: one of them at most. Compiles it, on a
// worker. True when there is one.
bool read_output_form(JsonFields& fields, const ModelService& service, Request& request);

// Has it follow `spec`; a fault is the error of the field `name`.
void hold_to(JsonFields& fields, const ModelService& service, const std::string& name,
             const GrammarSpec& spec, Request& request);

}  // namespace forerun
