#pragma once

#include <string>

#include "server/answer_text.h"
#include "server/json_fields.h"
#include "server/model_service.h"

namespace forerun {

// What OpenAI's two generating endpoints have in common beside sampling.
struct AnswerOptions {
  AnswerHead head;
  bool stream = false;
  bool include_usage = false;     // an event of a stream's own tells it
  bool store = true;              // false: no index may keep it
  bool return_token_ids = false;  // vLLM's
  bool tokens_as_ids = false;     // vLLM's: log-probs tell "token_id:5" for a token
};

// `id_prefix` "cmpl-"; `object` "text_completion".
AnswerOptions read_answer_options(JsonFields& fields, const ModelService& service,
                                  const std::string& id_prefix, const std::string& object);

}  // namespace forerun
