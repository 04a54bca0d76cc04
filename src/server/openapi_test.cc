#include "server/openapi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

#include "base/json.h"
#include "server/api_fixture.h"
#include "server/learning_fixture.h"
#include "server/learning_routes.h"
#include "server/statistics.h"
#include "server/status_page_files.h"
#include "server/status_routes.h"

namespace forerun {
namespace {

const Json& document() {
  static const Json kDocument = [] {
    Result<Json> json = parse_json(openapi_text());
    EXPECT_TRUE(json.ok()) << json.error().message;
    return std::move(*json);
  }();
  return kDocument;
}

void collect_references(const Json& value, std::set<std::string>& found) {
  if (value.is_object() && value.contains("$ref")) found.insert(value["$ref"]);
  for (const Json& part : value) {
    if (part.is_structured()) collect_references(part, found);
  }
}

// "GET /health" of everything the document describes.
std::set<std::string> described() {
  std::set<std::string> found;
  for (const auto& [path, methods] : document()["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      std::string name = method;
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
      found.insert(name + " " + path);
    }
  }
  return found;
}

// What `forerun serve` answers, without the files that the status page loads.
std::set<std::string> answered() {
  Api api;
  const ServerStatistics statistics(api.metrics);
  add_metrics_route(api.router, api.metrics, [] { return EngineThread::Snapshot(); });
  add_status_routes(api.router, statistics, {});
  FakeLearning learning;
  add_learning_routes(api.router, *api.service, learning);
  add_openapi_route(api.router);
  const auto is_page_file = [](const Route& route) {
    return route.pattern != "/" && std::ranges::any_of(status_page_files(), [&](const auto& file) {
             return file.path == route.pattern;
           });
  };
  std::set<std::string> found;
  for (const Route& route : api.router.routes()) {
    if (!is_page_file(route)) found.insert(route.method + " " + route.pattern);
  }
  return found;
}

TEST(Openapi, DescribesWhatIsAnswered) {
  EXPECT_EQ(described(), answered());
}

TEST(Openapi, EveryReferenceLeadsSomewhere) {
  std::set<std::string> references;
  collect_references(document(), references);
  EXPECT_FALSE(references.empty());
  for (const std::string& reference : references) {
    ASSERT_EQ(reference.substr(0, 1), "#");
    EXPECT_TRUE(document().contains(Json::json_pointer(reference.substr(1)))) << reference;
  }
}

TEST(Openapi, EverySchemaIsUsed) {
  std::set<std::string> references;
  collect_references(document(), references);
  for (const char* kind : {"schemas", "responses"}) {
    for (const auto& [name, value] : document()["components"][kind].items()) {
      EXPECT_TRUE(references.contains("#/components/" + std::string(kind) + "/" + name)) << name;
    }
  }
}

TEST(Openapi, EveryOperationSaysHowItFails) {
  for (const auto& [path, methods] : document()["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      const Json& responses = operation["responses"];
      EXPECT_TRUE(responses.contains("200") || responses.contains("202")) << path;
      EXPECT_TRUE(operation.contains("security") || responses.contains("401")) << path;
    }
  }
}

}  // namespace
}  // namespace forerun
