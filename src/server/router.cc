#include "server/router.h"

#include <optional>
#include <utility>

namespace forerun {
namespace {

// What a pattern's {name} stands for, by its name; nullopt where the path is another.
std::optional<std::map<std::string, std::string>> match_pattern(std::string_view pattern,
                                                                std::string_view path) {
  std::map<std::string, std::string> parameters;
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) {
    if (pattern != path) return std::nullopt;
    return parameters;
  }
  const size_t end = pattern.find('}');
  const std::string_view before = pattern.substr(0, brace);
  const std::string_view after = pattern.substr(end + 1);
  if (path.size() <= before.size() + after.size() || !path.starts_with(before) ||
      !path.ends_with(after)) {
    return std::nullopt;
  }
  const std::string_view value = path.substr(brace, path.size() - before.size() - after.size());
  if (!after.empty() && value.find('/') != std::string_view::npos) return std::nullopt;
  parameters.emplace(pattern.substr(brace + 1, end - brace - 1), value);
  return parameters;
}

void add_method(std::string& methods, const std::string& method) {
  if (!methods.empty()) methods += ", ";
  methods += method;
  if (method == "GET") methods += ", HEAD";
}

}  // namespace

Router::Match Router::match(std::string_view method, std::string_view path) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  Match match;
  // A pattern without a parameter goes before one with: /v1/models/active before /v1/models/{id}.
  bool match_is_exact = false;
  for (const Route& route : routes_) {
    auto parameters = match_pattern(route.pattern, path);
    if (!parameters) continue;
    add_method(match.allowed_methods, route.method);
    const bool exact = parameters->empty();
    if (route.method != wanted || (match.route != nullptr && (match_is_exact || !exact))) continue;
    match.route = &route;
    match.path_parameters = *std::move(parameters);
    match_is_exact = exact;
  }
  return match;
}

}  // namespace forerun
