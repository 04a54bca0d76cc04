#include "formats/hub_choice.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

std::vector<HubEntry> entries(const std::vector<std::string>& paths) {
  std::vector<HubEntry> files;
  for (const std::string& path : paths) files.push_back({path, 2'000'000, "", ""});
  return files;
}

// The chosen paths, or the sentence.
std::string chosen(const std::string& name, const std::vector<std::string>& paths) {
  const auto files = choose_files(*HubName::parse(name), entries(paths));
  if (!files.ok()) return files.error().message;
  std::string list;
  for (const HubEntry& file : *files) list += (list.empty() ? "" : " ") + file.path;
  return list;
}

TEST(HubChoice, TakesSafetensorsAndWhatBelongsToThem) {
  EXPECT_EQ(chosen("a/b", {".gitattributes", "README.md", "config.json", "model.safetensors",
                           "tokenizer.json", "pytorch_model.bin", "b.gguf", "onnx/model.onnx",
                           "chat_template.jinja", "1_Pooling/config.json", "my é.png"}),
            "model.safetensors config.json tokenizer.json chat_template.jinja "
            "1_Pooling/config.json");
  EXPECT_EQ(chosen("a/b", {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                           "model.safetensors.index.json", "consolidated.safetensors",
                           "original/model-1.safetensors", "config.json"}),
            "model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
            "model.safetensors.index.json config.json");
  EXPECT_EQ(chosen("a/b", {"model.safetensors", "model.safetensors.index.json",
                           "model-00001-of-00001.safetensors"}),
            "model.safetensors");
}

TEST(HubChoice, TakesTheNamedFileAndAllItsParts) {
  EXPECT_EQ(chosen("a/b:x.gguf", {"x.gguf", "y.gguf"}), "x.gguf");
  const std::vector<std::string> parts = {"q/x-00001-of-00002.gguf", "q/x-00002-of-00002.gguf"};
  EXPECT_EQ(chosen("a/b:q/x-00002-of-00002.gguf", parts), parts[0] + " " + parts[1]);
  EXPECT_EQ(chosen("a/b:q/x-00001-of-00002.gguf", {parts[0]}),
            "a/b has no file '" + parts[1] + "'");
  EXPECT_EQ(chosen("a/b:z.gguf", {"x.gguf"}), "a/b has no file 'z.gguf'");
}

TEST(HubChoice, ListsGgufFilesToChooseFrom) {
  EXPECT_EQ(chosen("a/b", {"b-Q4.gguf", "q8/b-00001-of-00002.gguf", "q8/b-00002-of-00002.gguf",
                           "pytorch_model.bin"}),
            "a/b has GGUF files; name one, as in a/b:b-Q4.gguf. There are: b-Q4.gguf (2 MB), "
            "q8/b-00001-of-00002.gguf (2 parts, 4 MB)");
  std::vector<std::string> many;
  for (int i = 0; i < 100; ++i) many.push_back("x" + std::to_string(i) + ".gguf");
  EXPECT_TRUE(chosen("a/b", many).ends_with("x39.gguf (2 MB), …"));
}

TEST(HubChoice, RefusesPickles) {
  for (const char* pickle : {"pytorch_model.bin", "x.pt", "x.pth", "x.ckpt", "x.pkl"}) {
    const std::string sentence = chosen("a/b", {"config.json", pickle});
    EXPECT_TRUE(sentence.starts_with("a/b has its weights as pickles only: opening a pickle runs"))
        << sentence;
    EXPECT_TRUE(chosen(std::string("a/b:") + pickle, {pickle}).find("is a pickle: opening") !=
                std::string::npos);
  }
  EXPECT_TRUE(chosen("a/b", {"README.md"}).starts_with("a/b holds no model"));
  EXPECT_TRUE(chosen("a/b", {}).starts_with("a/b holds no model"));
}

TEST(HubChoice, KnowsThePartsOfASplitFile) {
  EXPECT_EQ(parts_of("x-00001-of-00001.gguf").size(), 1u);
  EXPECT_EQ(parts_of("x-00001-of-00012.gguf").back(), "x-00012-of-00012.gguf");
  for (const char* path : {"x.gguf", "-00001-of-00002.gguf", "x-0000a-of-00002.gguf",
                           "x-00001-of-00000.gguf", "x-00001-of-99999.gguf", ""}) {
    EXPECT_EQ(parts_of(path), std::vector<std::string>{path});
  }
}

}  // namespace
}  // namespace forerun
