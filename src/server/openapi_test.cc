#include "server/openapi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/json.h"

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
      EXPECT_TRUE(responses.contains("200")) << path;
      EXPECT_TRUE(operation.contains("security") || responses.contains("401")) << path;
    }
  }
}

}  // namespace
}  // namespace forerun
