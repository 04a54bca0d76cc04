#include "models/tiny_head.h"

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "models/tiny_model.h"

namespace forerun {
namespace {

void add(SafetensorsWriter& tensors, const std::string& name, const std::vector<int64_t>& shape) {
  const int64_t count = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies());
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = tiny_head_weight(name, i);
  tensors.add_f32_tensor(name, shape, values);
}

}  // namespace

float tiny_head_weight(const std::string& name, int64_t index) {
  return tiny_weight("eagle3." + name, index);
}

Json tiny_head_config() {
  return {{"model_type", "llama"},        {"vocab_size", 320},
          {"draft_vocab_size", 96},       {"hidden_size", 64},
          {"intermediate_size", 160},     {"num_attention_heads", 4},
          {"num_key_value_heads", 2},     {"head_dim", 16},
          {"rms_norm_eps", 1e-5},         {"rope_theta", 10000.0},
          {"max_position_embeddings", 64}};
}

SafetensorsWriter make_tiny_head(const Json& config) {
  const auto size = [&](const char* key) { return config[key].get<int64_t>(); };
  const int64_t d = size("hidden_size");
  const int64_t ff = size("intermediate_size");
  const int64_t q = size("num_attention_heads") * size("head_dim");
  const int64_t kv = size("num_key_value_heads") * size("head_dim");
  SafetensorsWriter tensors;
  add(tensors, "fc.weight", {d, 3 * config.value("target_hidden_size", d)});
  for (const char* norm : {"input_layernorm", "hidden_norm", "post_attention_layernorm"}) {
    add(tensors, "midlayer." + std::string(norm) + ".weight", {d});
  }
  add(tensors, "midlayer.self_attn.q_proj.weight", {q, 2 * d});
  add(tensors, "midlayer.self_attn.k_proj.weight", {kv, 2 * d});
  add(tensors, "midlayer.self_attn.v_proj.weight", {kv, 2 * d});
  add(tensors, "midlayer.self_attn.o_proj.weight", {d, q});
  add(tensors, "midlayer.mlp.gate_proj.weight", {ff, d});
  add(tensors, "midlayer.mlp.up_proj.weight", {ff, d});
  add(tensors, "midlayer.mlp.down_proj.weight", {d, ff});
  add(tensors, "norm.weight", {d});
  add(tensors, "lm_head.weight", {size("draft_vocab_size"), d});
  tensors.add_int64_tensor("d2t", std::vector<int64_t>(size("draft_vocab_size"), 0));
  return tensors;
}

}  // namespace forerun
