#include "formats/eagle3_checkpoint.h"

#include <gtest/gtest.h>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

Json plain_config() {
  return {{"architectures", {"LlamaForCausalLMEagle3"}},
          {"model_type", "llama"},
          {"vocab_size", 320},
          {"draft_vocab_size", 4},
          {"hidden_size", 64},
          {"num_hidden_layers", 1},
          {"tie_word_embeddings", false}};
}

// What is said of a config that cannot be read.
std::string fault_of(Json config, const Json& changes) {
  config.update(changes);
  const Result<Eagle3Config> read = read_eagle3_config(config, "c");
  return read.ok() ? "" : read.error().message;
}

TEST(Eagle3Config, ReadsAPlainOne) {
  const Result<Eagle3Config> config = read_eagle3_config(plain_config(), "c");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->vocab_size, 320);
  EXPECT_EQ(config->draft_vocab_size, 4);
  EXPECT_EQ(config->target_hidden_size, 64);
  EXPECT_FALSE(config->normed_residual);
  EXPECT_FALSE(config->state_layers.has_value());
  EXPECT_EQ(config->layer["model_type"], "llama");
}

TEST(Eagle3Config, ReadsTheNestedOneOfSpeculators) {
  const Json nested = {{"speculators_model_type", "eagle3"},
                       {"transformer_layer_config",
                        {{"vocab_size", 320}, {"hidden_size", 64}, {"num_hidden_layers", 1}}},
                       {"draft_vocab_size", 8},
                       {"target_hidden_size", 128},
                       {"norm_before_residual", true},
                       {"norm_output", false},
                       {"eagle_aux_hidden_state_layer_ids", {2, 5, 7}}};
  const Result<Eagle3Config> config = read_eagle3_config(nested, "c");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->draft_vocab_size, 8);
  EXPECT_EQ(config->target_hidden_size, 128);
  EXPECT_TRUE(config->normed_residual);
  EXPECT_EQ(config->state_layers, (std::array<int, 3>{2, 5, 7}));
}

TEST(Eagle3Config, LayersThatBeginWithOneAreOutputs) {
  Json config = plain_config();
  config["eagle_config"] = {{"eagle_aux_hidden_state_layer_ids", {1, 14, 26}}};
  EXPECT_EQ(read_eagle3_config(config, "c")->state_layers, (std::array<int, 3>{2, 15, 27}));
  config["eagle_config"] = {{"eagle_aux_hidden_state_layer_ids", {2, 14, 26}}};
  EXPECT_EQ(read_eagle3_config(config, "c")->state_layers, (std::array<int, 3>{2, 14, 26}));
}

TEST(Eagle3Config, WithoutASizeTheVocabularyIsTheTargets) {
  Json config = plain_config();
  config["draft_vocab_size"] = nullptr;
  EXPECT_EQ(read_eagle3_config(config, "c")->draft_vocab_size, 320);
}

TEST(Eagle3Config, RefusesWhatItCannotCompute) {
  const Json plain = plain_config();
  EXPECT_EQ(fault_of(plain, {{"norm_before_fc", true}}),
            "c: norm_before_fc is true: heads of EAGLE-3.1 cannot be used yet");
  EXPECT_EQ(fault_of(plain, {{"norm_output", false}}),
            "c: norm_output is false: heads of EAGLE-3.1 cannot be used yet");
  EXPECT_EQ(fault_of(plain, {{"norm_output", true}}), "");
  EXPECT_EQ(fault_of({{"transformer_layer_config", plain}}, {{"norm_output", true}}),
            "c: norm_output is true: heads of EAGLE-3.1 cannot be used yet");
  EXPECT_EQ(fault_of(plain, {{"num_hidden_layers", 2}}), "c: num_hidden_layers is 2; it must be 1");
  EXPECT_NE(fault_of(plain, {{"tie_word_embeddings", true}}), "");
  EXPECT_NE(fault_of(plain, {{"attention_bias", true}}), "");
  EXPECT_NE(fault_of(plain, {{"speculators_model_type", "peagle"}}), "");
  EXPECT_NE(fault_of(plain, {{"eagle_config", {{"use_aux_hidden_state", false}}}}), "");
  EXPECT_EQ(fault_of(plain, {{"hidden_size", "x"}}).substr(0, 24), "c: hidden_size is \"x\"; i");
  for (const Json& list : {Json({1, 2}), Json({3, 2, 1}), Json({2, 5, -1}), Json("2,5,7")}) {
    EXPECT_NE(fault_of(plain, {{"eagle_aux_hidden_state_layer_ids", list}}), "") << list;
  }
}

// A checkpoint's folder, by the name its layer has.
class Checkpoint {
 public:
  void tensor(const std::string& name) {
    const std::vector<float> zero(4, 0.0f);
    writer_.add_f32_tensor(name, {4}, zero);
  }
  Result<Eagle3Checkpoint> open(const std::vector<int64_t>& offsets = {0, 1, 2, 3},
                                const Json& changes = {}) {
    tensor("fc.weight");
    if (!offsets.empty()) writer_.add_int64_tensor("d2t", offsets);
    EXPECT_TRUE(writer_.write(folder_.file("model.safetensors")).ok());
    Json config = plain_config();
    if (!changes.is_null()) config.update(changes);
    folder_.write("config.json", config.dump());
    return Eagle3Checkpoint::open(folder_.path());
  }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
  SafetensorsWriter writer_;
};

TEST(Eagle3Checkpoint, FindsALayerUnderAnyOfItsNames) {
  for (const char* layer : {"midlayer.", "layers.0.", "model.layers.0.", "model.midlayer."}) {
    Checkpoint checkpoint;
    checkpoint.tensor(layer + std::string("hidden_norm.weight"));
    checkpoint.tensor("norm.weight");
    const Result<Eagle3Checkpoint> opened = checkpoint.open();
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_NE(opened->find_tensor("model.layers.0.hidden_norm.weight"), nullptr) << layer;
    EXPECT_NE(opened->find_tensor("model.norm.weight"), nullptr);
    EXPECT_EQ(opened->find_tensor("lm_head.weight"), nullptr);
    EXPECT_EQ(opened->type_name("model.norm.weight"), "F32");
  }
}

TEST(Eagle3Checkpoint, TokensAreOffsetsPlusTheirIndex) {
  Checkpoint checkpoint;
  EXPECT_EQ(checkpoint.open({5, 6, 10, 316})->token_of(), (std::vector<int32_t>{5, 7, 12, 319}));
}

TEST(Eagle3Checkpoint, AWholeVocabularyNeedsNoMap) {
  Checkpoint checkpoint;
  const auto opened = checkpoint.open({}, {{"draft_vocab_size", 320}});
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(opened->token_of().empty());
}

TEST(Eagle3Checkpoint, SaysWhatIsWrong) {
  const auto fault = [](const std::vector<int64_t>& offsets, const Json& changes = {},
                        const char* extra = nullptr) {
    Checkpoint checkpoint;
    if (extra != nullptr) checkpoint.tensor(extra);
    const auto opened = checkpoint.open(offsets, changes);
    if (opened.ok()) return std::string();
    return opened.error().message.substr(checkpoint.folder().path().size());
  };
  EXPECT_EQ(fault({}), ": draft_vocab_size is 4 of 320 tokens, but there is no tensor 'd2t'");
  EXPECT_EQ(fault({0, 0}), ": d2t has 2 entries; draft_vocab_size is 4");
  for (const int64_t wrong :
       {int64_t{-2}, int64_t{319}, int64_t{-1}, std::numeric_limits<int64_t>::max(),
        std::numeric_limits<int64_t>::min()}) {
    EXPECT_EQ(fault({0, wrong, 0, 0}),
              ": d2t[1] is " + std::to_string(wrong) +
                  "; with its index added it must be a token below 320 that no other has");
  }
  EXPECT_EQ(fault({0, 0, 0, 0}, {}, "layers.1.self_attn.q_proj.weight"),
            ": tensor 'layers.1.self_attn.q_proj.weight' is not of an EAGLE-3 head the engine can "
            "compute: one layer, no biases");
}

TEST(Eagle3Checkpoint, APickleIsNotRead) {
  const TemporaryFolder folder;
  folder.write("pytorch_model.bin", "x");
  folder.write("config.json", plain_config().dump());
  const auto opened = Eagle3Checkpoint::open(folder.path());
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("a Python pickle"), std::string::npos);
}

}  // namespace
}  // namespace forerun
