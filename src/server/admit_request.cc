#include "server/admit_request.h"

#include <optional>
#include <string>
#include <utility>

#include "server/errors.h"

namespace forerun {
namespace {

std::optional<HttpResponse> refuse_key(ApiKeys::Verdict verdict) {
  if (verdict == ApiKeys::Verdict::kIn) return std::nullopt;
  if (verdict == ApiKeys::Verdict::kNotAdmin) {
    return error_response(403, "This path takes the admin key, not an API key.");
  }
  const bool missing = verdict == ApiKeys::Verdict::kNoKey;
  HttpResponse response =
      error_response(401, missing ? "No API key was given: send the header "
                                    "'Authorization: Bearer KEY' or 'X-Api-Key: KEY'."
                                  : "The API key is none of this server's.");
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

HttpResponse answer_options(const Cors& cors, const HttpRequest& request,
                            const std::string& methods) {
  HttpResponse response = {.status = 204, .content_type = "", .headers = {{"Allow", methods}}};
  if (cors.is_preflight(request.headers)) {
    for (auto& field : cors.preflight_headers(request.headers, methods)) {
      response.headers.push_back(std::move(field));
    }
  }
  return response;
}

HttpResponse no_such_method(const HttpRequest& request, const std::string& methods) {
  HttpResponse response = error_response(405, "The path " + request.path + " does not take " +
                                                  request.method + "; it takes " + methods + ".");
  response.headers.emplace_back("Allow", methods);
  return response;
}

HttpResponse refuse_for_now(const std::string& sentence) {
  HttpResponse response = error_response(503, sentence);
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace

std::variant<const Route*, HttpResponse> admit_request(const Admission& admission,
                                                       HttpRequest& request) {
  if (admission.phase == ServerPhase::kLoading) {
    return refuse_for_now("The server is still loading its model.");
  }
  Router::Match match = admission.router.match(request.method, request.path);
  const std::string methods =
      match.allowed_methods + (match.allowed_methods.empty() ? "" : ", ") + "OPTIONS";
  // A browser sends no key along with this question.
  if (request.method == "OPTIONS" && match.route == nullptr &&
      (request.path == "*" || !match.allowed_methods.empty())) {
    return answer_options(admission.cors, request, methods);
  }
  // Whoever has no key is not told which paths there are.
  const Access access = match.route == nullptr ? Access::kUser : match.route->access;
  if (auto refused = refuse_key(admission.keys.check(request.headers, access))) {
    return *std::move(refused);
  }
  if (match.allowed_methods.empty()) {
    return error_response(404, "There is no " + request.path + " here.");
  }
  if (match.route == nullptr) return no_such_method(request, methods);
  // Health is asked for until the end, and says that no more requests are taken.
  if (admission.phase == ServerPhase::kDraining && access != Access::kOpen) {
    return refuse_for_now("The server is shutting down and takes no more requests.");
  }
  request.salt = admission.keys.salt(request.headers);
  request.history_salt = admission.keys.history_salt(request.headers);
  request.is_recorded = admission.keys.is_recorded(request.headers);
  request.path_parameters = std::move(match.path_parameters);
  return match.route;
}

}  // namespace forerun
