#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/json_fields.h"
#include "server/model_service.h"

namespace forerun {

using TokenIds = std::vector<int32_t>;

enum class PromptKind : uint8_t { kTexts, kIds, kAny };

// The prompts of a required field: a text, a list of texts, token ids, or a list of lists of them,
// as far as `kind` allows it. Special tokens in a text are read as such: who writes a whole prompt
// writes its marks. `add_special`: texts get the tokenizer's own around them.
std::vector<TokenIds> read_prompts(JsonFields& fields, const std::string& name, PromptKind kind,
                                   const ModelService& service, bool add_special);

// Refuses a prompt that the context has no room for, beside `answer_tokens`.
void check_length(JsonFields& fields, const std::string& name, const ModelService& service,
                  size_t prompt_tokens, int64_t answer_tokens);

// Refuses more choices than one request may have.
void check_choices(JsonFields& fields, const std::string& name, size_t num_prompts, int64_t n);

// An error where the model has no tokenizer.
bool need_tokenizer(JsonFields& fields, const std::string& name, const ModelService& service);

}  // namespace forerun
