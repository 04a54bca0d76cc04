#include "models/descriptor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "models/tiny_model.h"

namespace forerun {
namespace {

const Json& golden_models() {
  static const Json golden = [] {
    Result<Json> json =
        read_json_file(std::string(FORERUN_SOURCE_DIR) + "/tests/golden/tiny_families.json");
    CHECK(json.ok(), json.error().message);
    return (*json)["models"];
  }();
  return golden;
}

Result<ModelDescriptor> from_gguf(const TinyModelConfig& config) {
  const std::vector<uint8_t> bytes = make_tiny_model(config);
  const Result<Gguf> file = Gguf::parse(bytes, "tiny.gguf");
  CHECK(file.ok(), file.error().message);
  return read_descriptor(*file);
}

ModelDescriptor golden_descriptor(const std::string& name) {
  const Result<ModelDescriptor> model = from_gguf(tiny_config(golden_models()[name]));
  CHECK(model.ok(), model.error().message);
  return *model;
}

std::string error_of(const Result<ModelDescriptor>& model) {
  return model.ok() ? "" : model.error().message;
}
std::string config_error(const std::string& text) {
  return error_of(read_descriptor(*parse_json(text), "config.json"));
}

TEST(GgufDescriptor, SaysWhatAFamilyIs) {
  const ModelDescriptor qwen2 = golden_descriptor("tiny_qwen2");
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.qk_norm);
  EXPECT_FALSE(qwen2.post_norms);
  EXPECT_EQ(qwen2.activation, Activation::kSilu);
  EXPECT_EQ(qwen2.storage.pairs, RotaryPairs::kHalves);
  EXPECT_EQ(qwen2.windows, (std::vector<int64_t>(3, 0)));
  EXPECT_FLOAT_EQ(qwen2.rotary.attention_factor, 1.0f + 0.1f * std::log(4.0f));

  const ModelDescriptor gemma2 = golden_descriptor("tiny_gemma2");
  EXPECT_TRUE(gemma2.post_norms);
  EXPECT_TRUE(gemma2.tied_output);
  EXPECT_EQ(gemma2.activation, Activation::kGeluTanh);
  EXPECT_EQ(gemma2.windows, (std::vector<int64_t>{24, 0, 24, 0}));
  EXPECT_EQ(gemma2.embedding_scale, 8.0f);
  EXPECT_EQ(gemma2.attention_soft_cap, 0.5f);
  EXPECT_EQ(gemma2.logit_soft_cap, 8.0f);
  EXPECT_FALSE(gemma2.window_rotary.has_value());

  const ModelDescriptor gemma3 = golden_descriptor("tiny_gemma3");
  EXPECT_TRUE(gemma3.qk_norm);
  EXPECT_EQ(gemma3.windows, (std::vector<int64_t>{24, 24, 24, 24, 24, 0, 24}));
  ASSERT_TRUE(gemma3.window_rotary.has_value());
  EXPECT_EQ(gemma3.rotary.inverse_frequencies[0], 0.125f);
  EXPECT_EQ(gemma3.window_rotary->inverse_frequencies[0], 1.0f);

  const ModelDescriptor phi3 = golden_descriptor("tiny_phi3_long");
  EXPECT_TRUE(phi3.storage.fused);
  EXPECT_EQ(phi3.rotary.rotated(), 24);
  EXPECT_EQ(golden_descriptor("tiny_mistral").storage.pairs, RotaryPairs::kAdjacent);
}

// The context a file offers chooses between longrope's two sets of factors.
TEST(GgufDescriptor, TakesShortFactorsWhereTheContextIsTheOneFirstTrained) {
  TinyModelConfig config = tiny_config(golden_models()["tiny_phi3_long"]);
  const RotaryEmbedding long_rotary = from_gguf(config)->rotary;
  config.context_length = 64;
  const RotaryEmbedding short_rotary = from_gguf(config)->rotary;
  const double plain = std::pow(10000.0, -22.0 / 24.0);
  EXPECT_FLOAT_EQ(long_rotary.inverse_frequencies[11], static_cast<float>(plain / 6.5));
  EXPECT_FLOAT_EQ(short_rotary.inverse_frequencies[11], static_cast<float>(plain / 1.6875));
}

// The largest of the Gemmas scales scores by another width, which its files do not say.
TEST(GgufDescriptor, KnowsTheLargestGemmaByItsLayers) {
  TinyModelConfig config = tiny_config(golden_models()["tiny_gemma3"]);
  EXPECT_FLOAT_EQ(from_gguf(config)->attention_scale, 1.0f / std::sqrt(32.0f));
  config.num_layers = 62;
  EXPECT_FLOAT_EQ(from_gguf(config)->attention_scale, 1.0f / std::sqrt(16.0f));
}

TEST(GgufDescriptor, NamesWhatItCannotRun) {
  const auto with = [](const char* key, const Json& value) {
    TinyModelConfig config = tiny_config(golden_models()["tiny_mistral"]);
    config.keys[key] = value;
    return error_of(from_gguf(config));
  };
  EXPECT_EQ(with("expert_count", 8),
            "tiny.gguf: llama.expert_count asks for experts, which the engine does not have yet");
  EXPECT_EQ(with("rope.dimension_count", 34),
            "tiny.gguf: llama.rope.dimension_count is 34; it must be even and at most the head's "
            "32");
  EXPECT_EQ(with("rope.scaling.type", "ntk"),
            "tiny.gguf: llama.rope.scaling.type is 'ntk'; the engine knows none, linear, yarn and "
            "longrope, and Llama-3's by a tensor rope_freqs.weight");
  EXPECT_EQ(with("rope.scaling.factor", 0.0),
            "tiny.gguf: the rotary embedding's scaling factor is 0.000000; it must be positive and "
            "finite");
  EXPECT_EQ(with("rope.scaling.type", "longrope"),
            "tiny.gguf: llama.rope.scaling.type is longrope, but a tensor rope_factors_long.weight "
            "or rope_factors_short.weight is missing");
  EXPECT_EQ(with("attention.value_length", 16),
            "tiny.gguf: llama.attention.value_length differs from attention.key_length; the engine "
            "needs them equal");
  EXPECT_EQ(with("attention.temperature_scale", 0.1),
            "tiny.gguf: llama.attention.temperature_scale asks for scores scaled by position, "
            "which the engine does not have yet");

  TinyModelConfig moe;
  moe.architecture = "qwen3moe";
  EXPECT_EQ(error_of(from_gguf(moe)),
            "tiny.gguf: architecture 'qwen3moe' needs experts, which the engine does not have yet; "
            "the engine runs: " +
                known_architectures());
  TinyModelConfig gemma = tiny_config(golden_models()["tiny_gemma2"]);
  gemma.keys.erase("attn_logit_softcapping");
  EXPECT_EQ(error_of(from_gguf(gemma)),
            "tiny.gguf: metadata key 'gemma2.attn_logit_softcapping' is missing; fetch or convert "
            "the file again");
}

TEST(Descriptor, NamesANumberThatIsOutOfRange) {
  const ModelDescriptor good = golden_descriptor("tiny_gemma2");
  const auto error_with = [&](auto change) {
    ModelDescriptor model = good;
    change(model);
    const Status valid = validate(model);
    return valid.ok() ? "" : valid.error().message;
  };
  EXPECT_EQ(error_with([](ModelDescriptor&) {}), "");
  EXPECT_EQ(error_with([](ModelDescriptor& m) { m.windows[1] = -1; }),
            "the model's sliding window is -1; the engine takes up to 2147483648 positions");
  EXPECT_EQ(error_with([](ModelDescriptor& m) { m.logit_soft_cap = -1.0f; }),
            "the model's logit soft-cap must be between 0 and 1000000");
  EXPECT_EQ(error_with([](ModelDescriptor& m) { m.attention_soft_cap = NAN; }),
            "the model's attention soft-cap must be between 0 and 1000000");
  EXPECT_EQ(error_with([](ModelDescriptor& m) { m.attention_scale = INFINITY; }),
            "the model's attention scale must be positive and finite");
  EXPECT_EQ(error_with([](ModelDescriptor& m) {
              m.qk_norm = true;
              m.head_dim = 24;
            }),
            "the model's head size is 24; the engine takes multiples of 16 where queries and keys "
            "are normalised");
}

void expect_same(const RotaryEmbedding& actual, const RotaryEmbedding& expected) {
  ASSERT_EQ(actual.rotated(), expected.rotated());
  EXPECT_FLOAT_EQ(actual.attention_factor, expected.attention_factor);
  for (size_t i = 0; i < expected.inverse_frequencies.size(); ++i) {
    EXPECT_FLOAT_EQ(actual.inverse_frequencies[i], expected.inverse_frequencies[i]) << i;
  }
}

// Both files describe one model.
TEST(ConfigDescriptor, SaysWhatTheGgufSays) {
  for (const auto& [name, golden] : golden_models().items()) {
    SCOPED_TRACE(name);
    const ModelDescriptor expected = golden_descriptor(name);
    const Result<ModelDescriptor> result = read_descriptor(golden["config_json"], "config.json");
    ASSERT_TRUE(result.ok()) << result.error().message;
    const ModelDescriptor& actual = *result;
    EXPECT_EQ(actual.vocab_size, expected.vocab_size);
    EXPECT_EQ(actual.d_model, expected.d_model);
    EXPECT_EQ(actual.num_layers, expected.num_layers);
    EXPECT_EQ(actual.num_heads, expected.num_heads);
    EXPECT_EQ(actual.num_kv_heads, expected.num_kv_heads);
    EXPECT_EQ(actual.head_dim, expected.head_dim);
    EXPECT_EQ(actual.d_ff, expected.d_ff);
    EXPECT_EQ(actual.context_length, expected.context_length);
    EXPECT_EQ(actual.rms_epsilon, expected.rms_epsilon);
    EXPECT_EQ(actual.qkv_bias, expected.qkv_bias);
    EXPECT_EQ(actual.qk_norm, expected.qk_norm);
    EXPECT_EQ(actual.post_norms, expected.post_norms);
    EXPECT_EQ(actual.tied_output, expected.tied_output);
    EXPECT_EQ(actual.activation, expected.activation);
    EXPECT_EQ(actual.embedding_scale, expected.embedding_scale);
    EXPECT_EQ(actual.attention_scale, expected.attention_scale);
    EXPECT_EQ(actual.attention_soft_cap, expected.attention_soft_cap);
    EXPECT_EQ(actual.logit_soft_cap, expected.logit_soft_cap);
    EXPECT_EQ(actual.windows, expected.windows);
    expect_same(actual.rotary, expected.rotary);
    ASSERT_EQ(actual.window_rotary.has_value(), expected.window_rotary.has_value());
    if (expected.window_rotary) expect_same(*actual.window_rotary, *expected.window_rotary);
    EXPECT_EQ(actual.storage.naming, TensorNaming::kHuggingFace);
    EXPECT_EQ(actual.storage.pairs, RotaryPairs::kHalves);
    EXPECT_EQ(actual.storage.fused, expected.storage.fused);
    EXPECT_EQ(actual.storage.norms_less_one, expected.post_norms);
  }
}

constexpr char kLlama31[] = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
  "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32,
  "num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-05,
  "rope_theta": 500000.0, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0,
  "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "vocab_size": 128256})";

// As they stood on hubs before rope_parameters.
TEST(ConfigDescriptor, ReadsOlderFiles) {
  const Result<ModelDescriptor> llama = read_descriptor(*parse_json(kLlama31), "config.json");
  ASSERT_TRUE(llama.ok()) << llama.error().message;
  EXPECT_EQ(llama->head_dim, 128);
  EXPECT_FALSE(llama->tied_output);
  EXPECT_EQ(llama->rotary.inverse_frequencies[0], 1.0f);
  EXPECT_FLOAT_EQ(llama->rotary.inverse_frequencies[63],
                  static_cast<float>(std::pow(500000.0, -126.0 / 128.0) / 8.0));

  // Gemma-3-4B's, whose text part leaves out what transformers fills in.
  const Result<ModelDescriptor> gemma = read_descriptor(*parse_json(R"({
      "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
      "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34,
                      "intermediate_size": 10240, "sliding_window": 1024,
                      "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}})"),
                                                        "config.json");
  ASSERT_TRUE(gemma.ok()) << gemma.error().message;
  EXPECT_EQ(gemma->vocab_size, 262208);
  EXPECT_EQ(gemma->num_heads, 8);
  EXPECT_EQ(gemma->num_kv_heads, 4);
  EXPECT_EQ(gemma->head_dim, 256);
  EXPECT_TRUE(gemma->tied_output);
  EXPECT_EQ(gemma->windows[4], 1024);
  EXPECT_EQ(gemma->windows[5], 0);
  EXPECT_EQ(gemma->rotary.inverse_frequencies[0], 0.125f);
  EXPECT_FLOAT_EQ(gemma->window_rotary->inverse_frequencies[127],
                  static_cast<float>(std::pow(10000.0, -254.0 / 256.0)));

  // Qwen2 names a window that it does not use.
  const Result<ModelDescriptor> qwen = read_descriptor(*parse_json(R"({
      "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864,
      "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
      "max_position_embeddings": 32768, "max_window_layers": 21, "sliding_window": 32768,
      "use_sliding_window": false, "tie_word_embeddings": true, "vocab_size": 151936})"),
                                                       "config.json");
  ASSERT_TRUE(qwen.ok()) << qwen.error().message;
  EXPECT_EQ(qwen->windows, std::vector<int64_t>(24, 0));
  EXPECT_TRUE(qwen->qkv_bias);
}

TEST(ConfigDescriptor, NamesWhatAnArchitectureNeeds) {
  const auto of = [](const char* name, const char* type) {
    return config_error(std::string(R"({"architectures": [")") + name + R"("], "model_type": ")" +
                        type + R"("})");
  };
  const std::string yet =
      ", which the engine does not have yet; the engine runs: " + known_architectures();
  EXPECT_EQ(
      of("Qwen3MoeForCausalLM", "qwen3_moe"),
      "config.json is of 'Qwen3MoeForCausalLM': architecture 'qwen3_moe' needs experts" + yet);
  EXPECT_EQ(
      of("DeepseekV3ForCausalLM", "deepseek_v3"),
      "config.json is of 'DeepseekV3ForCausalLM': architecture 'deepseek_v3' needs experts and "
      "latent attention" +
          yet);
  EXPECT_EQ(
      of("GptOssForCausalLM", "gpt_oss"),
      "config.json is of 'GptOssForCausalLM': architecture 'gpt_oss' needs experts and attention "
      "sinks" +
          yet);
  EXPECT_EQ(
      of("MambaForCausalLM", "mamba"),
      "config.json is of 'MambaForCausalLM': architecture 'mamba' is not known; the engine runs: " +
          known_architectures());
  EXPECT_EQ(
      of("LlamaForSequenceClassification", "llama"),
      "config.json is of 'LlamaForSequenceClassification', no language model; the engine runs "
      "those called ...ForCausalLM");
}

TEST(ConfigDescriptor, NamesAMemberThatIsMissingOrWrong) {
  const auto with = [](const char* change) {
    Json config = *parse_json(kLlama31);
    config.merge_patch(*parse_json(change));
    return config_error(config.dump());
  };
  EXPECT_EQ(with("{}"), "");
  EXPECT_EQ(with(R"({"hidden_size": null})"), "config.json: hidden_size is missing");
  EXPECT_EQ(with(R"({"hidden_size": "big"})"),
            "config.json: hidden_size is \"big\"; it must be a whole number, not negative");
  EXPECT_EQ(with(R"({"num_hidden_layers": -1})"),
            "config.json: num_hidden_layers is -1; it must be a whole number, not negative");
  EXPECT_EQ(with(R"({"num_hidden_layers": 1e15})"),
            "config.json: the model's number of layers is 1048576; the engine takes 1 to 1024");
  EXPECT_EQ(with(R"({"num_key_value_heads": 5})"),
            "config.json: the model's number of key/value heads is 5; the engine takes divisors of "
            "its 32 heads");
  EXPECT_EQ(with(R"({"hidden_act": "relu"})"),
            "config.json: activation 'relu' is not the family's, which is 'silu'");
  EXPECT_EQ(with(R"({"rope_scaling": {"rope_type": "dynamic"}})"),
            "config.json: rope type 'dynamic' is not known; the engine knows default, linear, "
            "llama3, yarn and longrope");
  EXPECT_EQ(with(R"({"rope_scaling": {"low_freq_factor": 9}})"),
            "config.json: the rotary embedding's low and high frequency factors must be positive "
            "and ascending");
  EXPECT_EQ(with(R"({"rope_scaling": []})"),
            "config.json: rope_scaling is []; it must be an object");
  EXPECT_EQ(with(R"({"partial_rotary_factor": 1.5})"),
            "config.json: partial_rotary_factor must be above 0, at most 1, and leave an even part "
            "of 128");
  EXPECT_EQ(with(R"({"num_local_experts": 8})"),
            "config.json: num_local_experts asks for experts, which the engine does not have yet");
  EXPECT_EQ(
      with(R"({"quantization_config": {"quant_method": "fp8"}})"),
      "config.json: the weights are quantised ('fp8'); give a model in F32, F16 or BF16, or a "
      ".gguf file");
  EXPECT_EQ(config_error("[]"), "config.json: it must be a JSON object");
  EXPECT_EQ(config_error("{}"), "config.json: model_type is missing");
}

TEST(ConfigDescriptor, ChecksAListOfLayerTypes) {
  Json config = golden_models()["tiny_gemma3"]["config_json"];
  config["layer_types"].erase(0);
  EXPECT_EQ(config_error(config.dump()),
            "config.json: layer_types must have one entry for each layer");
  config["layer_types"].push_back("linear_attention");
  EXPECT_EQ(config_error(config.dump()),
            "config.json: layer_types is \"linear_attention\"; it must be a list of full_attention "
            "and sliding_attention");
}

}  // namespace
}  // namespace forerun
