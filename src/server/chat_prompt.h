#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/chat_fields.h"
#include "server/model_service.h"

namespace forerun {

struct ChatPrompt {
  std::string text;
  std::vector<int32_t> ids;
  std::optional<uint64_t> conversation;  // Request::conversation, where somebody records
};

// The prompt that the model's template makes of `messages` and of what else tells templates
// something: chat_template_kwargs, reasoning_effort, add_generation_prompt,
// continue_final_message. Empty after an error.
ChatPrompt read_chat_prompt(JsonFields& fields, const ModelService& service,
                            const ToolFields& tools);

}  // namespace forerun
