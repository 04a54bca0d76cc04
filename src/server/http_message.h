#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace forerun {

// Header fields in the order they stand; names compare without case.
using HttpHeaders = std::vector<std::pair<std::string, std::string>>;
bool equal_without_case(std::string_view a, std::string_view b);  // of ASCII letters
std::optional<std::string_view> find_header(const HttpHeaders& headers, std::string_view name);

// A request as handlers see it: whole, within the limits, and let in by its key.
struct HttpRequest {
  std::string method;                        // "GET"
  std::string path;                          // percent-decoded, no query, no trailing slash
  std::map<std::string, std::string> query;  // decoded; of a name given twice the last
  HttpHeaders headers;
  std::string body;
  std::string id;             // the client's X-Request-Id, or one drawn; the answer carries it
  uint64_t salt = 0;          // whose prefix cache entries it may use (Request::salt)
  uint64_t history_salt = 0;  // and whose outputs for drafts (Request::history_salt)
  bool is_recorded = true;    // its answers may be (Request::conversation)
  // What a path pattern's {name} stands for, percent-decoded.
  std::map<std::string, std::string> path_parameters;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  HttpHeaders headers = {};  // beside content type, length, request id, CORS
};

}  // namespace forerun
