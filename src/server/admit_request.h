#pragma once

#include <cstdint>
#include <variant>

#include "server/api_keys.h"
#include "server/cors.h"
#include "server/http_message.h"
#include "server/router.h"

namespace forerun {

enum class ServerPhase : uint8_t {
  kLoading,  // nothing can be answered yet
  kServing,
  kDraining,  // open paths only
};

// What is decided of a request by its head alone, before a byte of its body is taken.
struct Admission {
  const Router& router;
  const ApiKeys& keys;
  const Cors& cors;
  ServerPhase phase = ServerPhase::kServing;
};

// The route that answers, with the request's salt and path parameters set; or the answer of one
// that is not let in, has no route, or asks for OPTIONS.
std::variant<const Route*, HttpResponse> admit_request(const Admission& admission,
                                                       HttpRequest& request);

}  // namespace forerun
