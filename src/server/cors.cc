#include "server/cors.h"

#include <algorithm>
#include <utility>

namespace forerun {

Cors::Cors(std::vector<std::string> allowed_origins)
    : allowed_origins_(std::move(allowed_origins)),
      any_(std::find(allowed_origins_.begin(), allowed_origins_.end(), "*") !=
           allowed_origins_.end()) {}

bool Cors::allows(const HttpHeaders& request) const {
  const auto origin = find_header(request, "Origin");
  if (!origin) return false;
  return any_ || std::find(allowed_origins_.begin(), allowed_origins_.end(), *origin) !=
                     allowed_origins_.end();
}

HttpHeaders Cors::headers(const HttpHeaders& request) const {
  if (allowed_origins_.empty()) return {};
  HttpHeaders headers;
  // A cache must not give one origin's answer to another.
  if (!any_) headers.emplace_back("Vary", "Origin");
  if (!allows(request)) return headers;
  headers.emplace_back("Access-Control-Allow-Origin",
                       any_ ? "*" : std::string(*find_header(request, "Origin")));
  headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  return headers;
}

bool Cors::is_preflight(const HttpHeaders& request) const {
  return allows(request) && find_header(request, "Access-Control-Request-Method").has_value();
}

HttpHeaders Cors::preflight_headers(const HttpHeaders& request, const std::string& methods) const {
  HttpHeaders headers = {{"Access-Control-Allow-Methods", methods},
                         {"Access-Control-Max-Age", "600"}};
  // Clients send fields of their own (X-Stainless-…), and none of them means anything to us.
  if (const auto wanted = find_header(request, "Access-Control-Request-Headers")) {
    headers.emplace_back("Access-Control-Allow-Headers", *wanted);
  }
  return headers;
}

}  // namespace forerun
