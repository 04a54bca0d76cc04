#pragma once

#include <string>
#include <variant>

#include "base/result.h"
#include "server/http_message.h"

namespace forerun {

// Why a request is refused.
struct RequestError {
  int status = 400;
  std::string message;  // a sentence that names the field and the limit
  std::string param;    // the field
  std::string code;
};

HttpResponse to_response(const RequestError& error);

// A sentence of the engine's, which begins with the field's name as our sentences do.
RequestError rejected_by_engine(const Error& error);

// A T, or why not.
template <typename T>
using Checked = std::variant<T, RequestError>;

}  // namespace forerun
