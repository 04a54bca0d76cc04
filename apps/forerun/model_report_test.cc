#include "model_report.h"

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"
#include "readable_bytes.h"

namespace forerun {
namespace {

std::vector<uint8_t> example() {
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_string("general.name", "tiny\x1b[2J");
  writer.add_u32("llama.block_count", 2);
  writer.add_i32("negative", -3);
  writer.add_u64("wide", uint64_t{1} << 63);
  writer.add_bool("flag", true);
  writer.add_f32("llama.rope.freq_base", 10000);
  writer.add_strings("tokenizer.ggml.tokens", std::vector<std::string>(1000, "token"));
  writer.add_i32s("few", std::vector<int32_t>{1, -2});
  writer.add_tensor("w", DType::kQ4_1, {4, 32}, std::vector<uint8_t>(80));
  writer.add_f32_tensor("norm", {4}, std::vector<float>(4));
  return writer.encode();
}

TEST(ModelReport, TellsPeople) {
  const std::vector<uint8_t> bytes = example();
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  const std::string text = ModelReport(facts_of(*gguf)).text(/*with_tensors=*/true);
  for (const char* part :
       {"'x.gguf': GGUF version 3", "2 tensors", "architecture      'llama'", "layers            2",
        "name              'tiny\\x1b[2J'", "vocabulary        1000",
        "Q4_1         1       128    80 B         5.000", "F32          1         4    16 B",
        "tokenizer.ggml.tokens   array of 1000 string   ['token', 'token'", ", …]",
        "array of 2 i32         [1, -2]\n", "w      Q4_1   [4, 32]   80 B"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(ModelReport(facts_of(*gguf)).text(false).find("[4, 32]"), std::string::npos);
}

TEST(ModelReport, TellsPrograms) {
  const std::vector<uint8_t> bytes = example();
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  const Json json = ModelReport(facts_of(*gguf)).json();
  EXPECT_EQ(json["model"]["layers"], 2);
  EXPECT_EQ(json["model"]["weights"], 132);
  EXPECT_EQ(json["metadata"]["negative"], -3);
  EXPECT_EQ(json["metadata"]["wide"], uint64_t{1} << 63);
  EXPECT_EQ(json["metadata"]["flag"], true);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.tokens"]["count"], 1000);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.tokens"]["first"].size(), 8u);
  EXPECT_EQ(json["types"][0]["type"], "Q4_1");
  EXPECT_EQ(json["types"][0]["bits_per_weight"], 5.0);
  EXPECT_EQ(json["tensors"][1]["name"], "norm");
}

TEST(ModelReport, TakesAnEmptyFile) {
  const std::vector<uint8_t> bytes = GgufWriter().encode();
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  ASSERT_TRUE(gguf.ok());
  EXPECT_NE(ModelReport(facts_of(*gguf)).text(true).find("0 tensors"), std::string::npos);
}

constexpr char kWeights[] = "model.safetensors";

TEST(ModelReport, TellsOfSafetensors) {
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  writer.add_f32_tensor("norm", {4}, std::vector<float>(4));
  writer.add_tensor("w", DType::kBF16, {2, 4}, std::vector<uint8_t>(16));
  ASSERT_TRUE(writer.write(folder.file(kWeights)).ok());
  const Result<Safetensors> file = Safetensors::open(folder.file(kWeights));
  ASSERT_TRUE(file.ok()) << file.error().message;
  const std::string text = ModelReport(facts_of(*file)).text(/*with_tensors=*/true);
  for (const char* part : {": safetensors, ", "2 tensors", "weights           12",
                           "F32          1         4    16 B", "w      BF16   [2, 4]   16 B"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }

  folder.write("config.json", R"({"model_type":"llama","num_hidden_layers":2,"head_dim":null,
                                  "rope_scaling":{"type":"x\u001b"}})");
  folder.write("generation_config.json", R"({"temperature":0.6})");
  const Result<HfDirectory> directory = HfDirectory::open(folder.path());
  ASSERT_TRUE(directory.ok()) << directory.error().message;
  const ModelReport report(facts_of(*directory));
  const std::string of_all = report.text(/*with_tensors=*/false);
  for (const char* part : {"Hugging Face directory, 1 file of weights", "architecture      'llama'",
                           "layers            2", "generation_config.json: temperature   0.6",
                           R"(config.json: rope_scaling             {"type":"x\u001b"})"}) {
    EXPECT_NE(of_all.find(part), std::string::npos) << part << "\n" << of_all;
  }
  const Json json = report.json();
  EXPECT_EQ(json["model"]["layers"], 2);
  EXPECT_EQ(json["model"]["weights"], 12);
  EXPECT_EQ(json["metadata"]["config.json: rope_scaling"]["type"], "x\x1b");
  EXPECT_EQ(json["tensors"][1]["shape"], (std::vector<int64_t>{2, 4}));
}

TEST(ReadableBytes, KeepsFourDigitsAtMost) {
  EXPECT_EQ(readable_bytes(0), "0 B");
  EXPECT_EQ(readable_bytes(999), "999 B");
  EXPECT_EQ(readable_bytes(98'362'432), "98.4 MB");
  EXPECT_EQ(readable_bytes(999'999), "1.0 MB");
  EXPECT_EQ(readable_bytes(UINT64_MAX), "18.4 EB");
}

}  // namespace
}  // namespace forerun
