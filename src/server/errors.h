#pragma once

#include <string>

#include "server/http_message.h"

namespace forerun {

// The answer to a request that fails, in the body that OpenAI's servers give and their clients
// read: {"error": {"message", "type", "param", "code"}}. The type follows from the status.
//
// `message` is a sentence that names the field and the limit; it may quote bytes that are no UTF-8.
// `param` is the field's name, `code` a word for programs ("model_not_found"); empty ones are null,
// but for the statuses that always have the same code (401, 429).
HttpResponse error_response(int status, const std::string& message, const std::string& param = {},
                            const std::string& code = {});

// The same body by itself, for an error after a stream has begun.
std::string error_body(int status, const std::string& message, const std::string& param = {},
                       const std::string& code = {});

}  // namespace forerun
