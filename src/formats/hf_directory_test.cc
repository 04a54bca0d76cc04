#include "formats/hf_directory.h"

#include <gtest/gtest.h>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

constexpr char kIndex[] = "model.safetensors.index.json";

std::vector<uint8_t> weights_of(std::initializer_list<const char*> names) {
  SafetensorsWriter writer;
  float value = 1;
  for (const char* name : names) {
    writer.add_f32_tensor(name, {2}, std::vector<float>{value, -value});
    value += 1;
  }
  return writer.encode();
}

std::string error_of(const TemporaryFolder& folder) {
  const Result<HfDirectory> directory = HfDirectory::open(folder.path());
  return directory.ok() ? "" : directory.error().message;
}

float first_value(const HfDirectory& directory, const char* name) {
  return *reinterpret_cast<const float*>(directory.get_tensor(name)->data);
}

TEST(HfDirectory, ReadsOneFileOfWeights) {
  const TemporaryFolder folder;
  EXPECT_FALSE(SafetensorsShards::are_in(folder.path()));
  folder.write("model.safetensors", weights_of({"a", "b"}));
  EXPECT_TRUE(SafetensorsShards::are_in(folder.path()));
  const Result<HfDirectory> directory = HfDirectory::open(folder.path());
  ASSERT_TRUE(directory.ok()) << directory.error().message;
  EXPECT_EQ(directory->path(), folder.path());
  EXPECT_EQ(first_value(*directory, "b"), 2.0f);
  EXPECT_EQ(directory->type_name("a"), "F32");
  EXPECT_EQ(directory->find_tensor("c"), nullptr);
  EXPECT_EQ(directory->get_tensor("c").error().message,
            folder.path() + ": tensor 'c' is missing; fetch or convert the file again");
  EXPECT_EQ(directory->config(), Json::object());
  EXPECT_EQ(directory->generation_config(), Json::object());
  EXPECT_EQ(directory->tokenizer_config(), Json::object());
  EXPECT_EQ(directory->configs().special_tokens_map, Json::object());
  EXPECT_EQ(directory->chat_template(), "");
  EXPECT_EQ(directory->tokenizer_json_path(), folder.file("tokenizer.json"));
}

TEST(HfDirectory, ReadsShards) {
  const TemporaryFolder folder;
  folder.write("one.safetensors", weights_of({"a", "x"}));
  folder.write("two.safetensors", weights_of({"y", "b"}));
  folder.write(kIndex, R"({"metadata":{"total_size":32},
      "weight_map":{"a":"one.safetensors","b":"two.safetensors","y":"two.safetensors"}})");
  const Result<HfDirectory> directory = HfDirectory::open(folder.path());
  ASSERT_TRUE(directory.ok()) << directory.error().message;
  EXPECT_TRUE(SafetensorsShards::are_in(folder.path()));
  EXPECT_EQ(directory->weights().files().size(), 2u);
  EXPECT_EQ(directory->weights().size_bytes(),
            std::filesystem::file_size(folder.file("one.safetensors")) +
                std::filesystem::file_size(folder.file("two.safetensors")));
  EXPECT_EQ(first_value(*directory, "a"), 1.0f);
  EXPECT_EQ(first_value(*directory, "b"), 2.0f);
  EXPECT_EQ(directory->type_name("y"), "F32");
  EXPECT_EQ(directory->find_tensor("x"), nullptr) << "the index does not name it";
}

TEST(HfDirectory, SaysWhatIsWrongWithShards) {
  const TemporaryFolder folder;
  const std::string index = folder.file(kIndex);
  folder.write("one.safetensors", weights_of({"a"}));
  folder.write(kIndex, R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_EQ(error_of(folder), index +
                                  " places tensor 'b' in 'two.safetensors', which is not "
                                  "there; fetch that file too");
  folder.write(kIndex, R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})");
  EXPECT_EQ(error_of(folder), index +
                                  " places tensor 'b' in 'one.safetensors', which does not "
                                  "have it; fetch the model again");
  folder.write("two.safetensors", "cut");
  folder.write(kIndex, R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_EQ(error_of(folder), folder.file("two.safetensors") +
                                  ": header length at offset 0 needs 8 bytes, but the file has "
                                  "only 3 left");
  for (const char* outside :
       {R"("../one.safetensors")", R"("/etc/x.safetensors")", R"("sub/one.safetensors")",
        R"("..\\one.safetensors")", R"(".safetensors")", R"("a\u0000b.safetensors")",
        R"("weights.bin")", R"("")", "7"}) {
    folder.write(kIndex, std::string(R"({"weight_map":{"a":)") + outside + "}}");
    const std::string message = error_of(folder);
    EXPECT_TRUE(message.starts_with(index + " places tensor 'a' in ")) << message;
    EXPECT_TRUE(message.ends_with("the name of a .safetensors file in the same folder is expected"))
        << message;
  }
  folder.write(kIndex, R"({"weight_map":[]})");
  EXPECT_EQ(error_of(folder), index + " has no object 'weight_map'");
  folder.write(kIndex, "[]");
  EXPECT_EQ(error_of(folder), index + " does not hold a JSON object");
  folder.write(kIndex, "{");
  EXPECT_TRUE(error_of(folder).starts_with(index + ": invalid JSON at byte 2")) << error_of(folder);
}

TEST(HfDirectory, SaysWhereTheWeightsAre) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of(folder), folder.path() +
                                  " has no weights: neither model.safetensors nor "
                                  "model.safetensors.index.json");
  folder.write("pytorch_model.bin", "x");
  EXPECT_EQ(error_of(folder),
            folder.path() +
                " has its weights in 'pytorch_model.bin', a Python pickle, which is not "
                "read (it could run code); save the model again as safetensors");
  EXPECT_EQ(HfDirectory::open("/nonexistent").error().message,
            "/nonexistent has no weights: neither model.safetensors nor "
            "model.safetensors.index.json");
}

TEST(HfDirectory, ReadsConfigs) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", weights_of({"a"}));
  folder.write("config.json", R"({"model_type":"llama"})");
  folder.write("generation_config.json", R"({"top_k":20})");
  folder.write("tokenizer_config.json", R"({"add_bos_token":true})");
  folder.write("special_tokens_map.json", R"({"eos_token":"</s>"})");
  const Result<HfDirectory> directory = HfDirectory::open(folder.path());
  ASSERT_TRUE(directory.ok()) << directory.error().message;
  EXPECT_EQ(directory->config()["model_type"], "llama");
  EXPECT_EQ(directory->generation_config()["top_k"], 20);
  EXPECT_EQ(directory->tokenizer_config()["add_bos_token"], true);
  EXPECT_EQ(directory->configs().special_tokens_map["eos_token"], "</s>");
}

TEST(HfDirectory, SaysWhichConfigIsWrong) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", weights_of({"a"}));
  for (const char* name : {"config.json", "generation_config.json", "tokenizer_config.json",
                           "special_tokens_map.json"}) {
    folder.write(name, "[1]");
    EXPECT_EQ(error_of(folder), folder.file(name) + " does not hold a JSON object");
    folder.write(name, "{\"a\":");
    EXPECT_TRUE(error_of(folder).starts_with(folder.file(name) + ": invalid JSON at byte 6"))
        << error_of(folder);
    folder.write(name, "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}");
    EXPECT_EQ(error_of(folder),
              folder.file(name) + ": JSON is nested deeper than the limit of 64 levels");
    folder.write(name, "{}");
    std::filesystem::resize_file(folder.file(name), 16'000'001);
    EXPECT_EQ(error_of(folder), folder.file(name) + " has 16000001 bytes; the limit is 16000000");
    folder.remove(name);
  }
}

TEST(HfDirectory, FindsTheChatTemplate) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", weights_of({"a"}));
  const auto chat_template = [&] {
    const Result<HfDirectory> directory = HfDirectory::open(folder.path());
    return directory.ok() ? directory->chat_template() : directory.error().message;
  };
  folder.write("chat_template.json", R"({"chat_template":"from its own JSON"})");
  EXPECT_EQ(chat_template(), "from its own JSON");
  folder.write("tokenizer_config.json", R"({"chat_template":null})");
  EXPECT_EQ(chat_template(), "from its own JSON");
  folder.write("tokenizer_config.json", R"({"chat_template":"from the config"})");
  EXPECT_EQ(chat_template(), "from the config");
  folder.write("chat_template.jinja", "from the file");
  EXPECT_EQ(chat_template(), "from the file");
  folder.write("chat_template.jinja", std::string(1'000'001, ' '));
  EXPECT_EQ(chat_template(),
            folder.file("chat_template.jinja") + " has 1000001 bytes; the limit is 1000000");
  folder.remove("chat_template.jinja");
  folder.write("tokenizer_config.json", R"({"chat_template":7})");
  EXPECT_EQ(chat_template(), folder.file("tokenizer_config.json") +
                                 ": 'chat_template' is neither a string nor a list of named "
                                 "templates");
  folder.write("tokenizer_config.json", "{}");
  folder.write("chat_template.json", R"({"chat_template":{}})");
  EXPECT_EQ(chat_template(), folder.file("chat_template.json") +
                                 ": 'chat_template' is neither a string nor a list of named "
                                 "templates");
}

TEST(ChatTemplateOf, TakesTheDefaultOfAList) {
  const auto choose = [](const char* list) {
    const Result<std::string> text =
        chat_template_of(*parse_json(std::string(R"({"chat_template":)") + list + "}"));
    return text.ok() ? *text : text.error().message;
  };
  EXPECT_EQ(choose(R"([{"name":"tool_use","template":"t"},{"name":"default","template":"d"}])"),
            "d");
  EXPECT_EQ(choose(R"([{"name":"rag","template":"r"}])"), "r");
  EXPECT_EQ(choose(R"([{"name":"rag","template":"r"},{"name":"tool_use","template":"t"}])"), "");
  EXPECT_EQ(choose("[]"), "");
  for (const char* odd : {R"([{"name":"default"}])", R"([{"template":"t"}])", R"(["t"])",
                          R"([{"name":1,"template":"t"}])", R"([{"name":"a","template":["t"]}])"}) {
    EXPECT_EQ(choose(odd),
              "'chat_template' is a list, but not of objects with a name and a template")
        << odd;
  }
}

}  // namespace
}  // namespace forerun
