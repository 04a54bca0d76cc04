#include "server/errors.h"

#include "base/json.h"

namespace forerun {
namespace {

struct ErrorKind {
  int status;
  const char* type;
  const char* code;  // where the caller names none; may be null
};

// As api.openai.com answers: a wrong key and an unknown path or model are invalid requests too, and
// the code tells them apart.
constexpr ErrorKind kKinds[] = {
    {401, "invalid_request_error", "invalid_api_key"},
    {403, "permission_error", nullptr},
    {429, "rate_limit_error", "rate_limit_exceeded"},
};

ErrorKind kind_of(int status) {
  for (const ErrorKind& kind : kKinds) {
    if (kind.status == status) return kind;
  }
  return {status, status >= 500 ? "server_error" : "invalid_request_error", nullptr};
}

Json text_or_null(const std::string& text, const char* otherwise = nullptr) {
  if (!text.empty()) return text;
  return otherwise == nullptr ? Json(nullptr) : Json(otherwise);
}

}  // namespace

std::string error_body(int status, const std::string& message, const std::string& param,
                       const std::string& code) {
  const ErrorKind kind = kind_of(status);
  const Json body = {{"error",
                      {{"message", message},
                       {"type", kind.type},
                       {"param", text_or_null(param)},
                       {"code", text_or_null(code, kind.code)}}}};
  // A message may quote what a stranger sent.
  return body.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

HttpResponse error_response(int status, const std::string& message, const std::string& param,
                            const std::string& code) {
  return {.status = status, .body = error_body(status, message, param, code)};
}

}  // namespace forerun
