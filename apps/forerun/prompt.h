#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace forerun {

// Token ids of messages (array of {role, content}) as the model's chat template puts them, ending
// where its answer begins. An Error when the template refuses.
Result<std::vector<int32_t>> encode_messages(const Tokenizer& tokenizer,
                                             const OrderedJson& messages);

// The same of one question; `system` may be empty. An Error also when the model has no template.
Result<std::vector<int32_t>> encode_question(const Tokenizer& tokenizer, const std::string& text,
                                             const std::string& system);

// Token ids of a text that the model is to continue.
Result<std::vector<int32_t>> encode_beginning(const Tokenizer& tokenizer, const std::string& text);

}  // namespace forerun
