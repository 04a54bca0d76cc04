#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace forerun {

// Token ids of one question as the model's chat template puts it; `system` may be empty. An Error
// when the model has no template, or the template refuses.
Result<std::vector<int32_t>> encode_question(const Tokenizer& tokenizer, const std::string& text,
                                             const std::string& system);

// Token ids of a text that the model is to continue.
Result<std::vector<int32_t>> encode_beginning(const Tokenizer& tokenizer, const std::string& text);

}  // namespace forerun
