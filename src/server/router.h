#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/exchange.h"

namespace forerun {

// Who may call a path when keys are set.
enum class Access : uint8_t {
  kOpen,   // anyone: /health and the files of the status page
  kUser,   // whoever has an API key or the admin key
  kAdmin,  // whoever has the admin key; where none is set, as kUser
};

struct Route {
  std::string method;  // GET also answers HEAD
  // "/v1/models/{id}": one {name} takes a segment of the path, at its end one or more.
  std::string pattern;
  Access access = Access::kUser;
  Handler handle;
};

// The table of what the server answers.
class Router final {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }

  struct Match {
    const Route* route = nullptr;  // null: no such path, or not by this method
    std::map<std::string, std::string> path_parameters;
    std::string allowed_methods;  // "GET, HEAD" where the path exists; empty: no such path
  };
  Match match(std::string_view method, std::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace forerun
