#include "models/family.h"

#include <algorithm>

#include "formats/quote.h"

namespace forerun {
namespace {

constexpr Family kFamilies[] = {
    {.name = "Llama", .gguf = "llama", .model_type = "llama", .gguf_pairs = RotaryPairs::kAdjacent},
    {.name = "Mistral",
     .gguf = "mistral3",
     .model_type = "mistral",
     .gguf_pairs = RotaryPairs::kAdjacent,
     .windowed = WindowedLayers::kAll,
     .config_defaults = R"({"sliding_window": 4096})"},
    {.name = "Qwen2",
     .gguf = "qwen2",
     .model_type = "qwen2",
     .qkv_bias = true,
     .windowed = WindowedLayers::kFromLayer,
     .config_defaults = R"({"sliding_window": 4096, "max_window_layers": 28})"},
    {.name = "Qwen3",
     .gguf = "qwen3",
     .model_type = "qwen3",
     .qk_norm = true,
     .windowed = WindowedLayers::kFromLayer,
     .config_defaults = R"({"head_dim": 128, "sliding_window": 4096, "max_window_layers": 28})"},
    {.name = "Gemma 2",
     .gguf = "gemma2",
     .model_type = "gemma2",
     .post_norms = true,
     .norms_less_one = true,
     .scaled_embedding = true,
     .soft_caps = true,
     .activation = Activation::kGeluTanh,
     .windowed = WindowedLayers::kAllButEvery,
     .full_every = 2,
     .layers_scaled_by_width = 46,
     .config_defaults = R"({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
                            "hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": true,
                            "max_position_embeddings": 8192, "query_pre_attn_scalar": 256,
                            "sliding_window": 4096, "attn_logit_softcapping": 50.0,
                            "final_logit_softcapping": 30.0})"},
    {.name = "Gemma 3",
     .gguf = "gemma3",
     .model_type = "gemma3_text",
     .qk_norm = true,
     .post_norms = true,
     .norms_less_one = true,
     .scaled_embedding = true,
     .activation = Activation::kGeluTanh,
     .windowed = WindowedLayers::kAllButEvery,
     .full_every = 6,
     .window_theta = 10000.0,
     .layers_scaled_by_width = 62,
     .config_defaults = R"({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
                            "hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": true,
                            "max_position_embeddings": 131072, "query_pre_attn_scalar": 256,
                            "vocab_size": 262208, "rope_theta": 1000000.0,
                            "sliding_window": 4096})"},
    {.name = "Phi-3",
     .gguf = "phi3",
     .model_type = "phi3",
     .fused = true,
     .windowed = WindowedLayers::kAll,
     .config_defaults = R"({"rms_norm_eps": 1e-5})"},
};

// Architectures people have that need what the engine does not do yet.
struct Missing {
  std::string_view gguf;
  std::string_view model_type;
  std::string_view needs;
};

constexpr std::string_view kExperts = "experts";
constexpr std::string_view kLatentExperts = "experts and latent attention";
constexpr std::string_view kLinearExperts = "experts and linear attention";

constexpr Missing kMissing[] = {
    {"qwen2moe", "qwen2_moe", kExperts},
    {"qwen3moe", "qwen3_moe", kExperts},
    {"phimoe", "phimoe", kExperts},
    {"", "mixtral", kExperts},
    {"llama4", "llama4_text", kExperts},
    {"gpt-oss", "gpt_oss", "experts and attention sinks"},
    {"deepseek2", "deepseek_v2", kLatentExperts},
    {"", "deepseek_v3", kLatentExperts},
    {"deepseek32", "deepseek_v32", "experts and sparse latent attention"},
    {"qwen3next", "qwen3_next", kLinearExperts},
    {"qwen35moe", "qwen3_5_moe", kLinearExperts},
    {"", "qwen3_5_moe_text", kLinearExperts},
    {"gemma3n", "gemma3n_text", "per-layer embeddings"},
};

Result<const Family*> find(std::string_view wanted, std::string_view Family::* family_name,
                           std::string_view Missing::* missing_name) {
  const std::string architecture = "architecture " + quote(wanted) + " ";
  const std::string known = "; the engine runs: " + known_architectures();
  for (const Family& family : kFamilies) {
    if (family.*family_name == wanted) return &family;
  }
  for (const Missing& missing : kMissing) {
    if (missing.*missing_name != wanted || wanted.empty()) continue;
    std::string sentence = architecture + "needs ";
    sentence += missing.needs;
    sentence += ", which the engine does not have yet";
    return Error{sentence + known};
  }
  return Error{architecture + "is not known" + known};
}

}  // namespace

Result<const Family*> find_gguf_family(std::string_view architecture) {
  return find(architecture, &Family::gguf, &Missing::gguf);
}

Result<const Family*> find_config_family(std::string_view model_type) {
  return find(model_type, &Family::model_type, &Missing::model_type);
}

std::string known_architectures() {
  std::string names;
  for (const Family& family : kFamilies) {
    names += (names.empty() ? "" : ", ") + std::string(family.name);
  }
  return names;
}

void take_traits(const Family& family, ModelDescriptor& model) {
  model.qk_norm = family.qk_norm;
  model.post_norms = family.post_norms;
  model.activation = family.activation;
}

int as_count(int64_t value) {
  return static_cast<int>(std::clamp<int64_t>(value, 0, 1 << 20));
}

}  // namespace forerun
