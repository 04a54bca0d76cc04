#include "server/openapi.h"

#include <string>
#include <utility>

#include "base/check.h"
#include "base/version.h"

namespace forerun {
namespace {

// The text with the program's version in it.
std::string document() {
  constexpr std::string_view kPlace = "\"version\": \"0\"";
  std::string text(openapi_text());
  const size_t place = text.find(kPlace);
  CHECK(place != std::string::npos, "openapi.json has no place for the version");
  return text.replace(place, kPlace.size(), "\"version\": \"" + std::string(kVersion) + "\"");
}

}  // namespace

void add_openapi_route(Router& router) {
  router.add(
      {"GET", "/openapi.json", Access::kUser,
       [text = document()](const ExchangePtr& exchange) { exchange->reply({.body = text}); }});
}

}  // namespace forerun
