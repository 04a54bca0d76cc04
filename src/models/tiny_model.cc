#include "models/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "formats/gguf_writer.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

uint64_t splitmix64(uint64_t seed) {
  uint64_t z = seed + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Writes one f16 and moves on.
void put_f16(uint8_t*& out, float value) {
  const uint16_t half = f32_to_f16(value);
  std::memcpy(out, &half, 2);
  out += 2;
}

// One block of 32 in Q8_0, Q4_0 or Q4_1: round to nearest on the grid the block's extremes span.
void quantize_block(DType dtype, const float* x, uint8_t* out) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float largest = std::max(std::fabs(*low), std::fabs(*high));
  float scale = 0.0f;
  float min = 0.0f;
  int lowest = 0;
  int highest = 15;
  switch (dtype) {
    case DType::kQ8_0:
      scale = largest / 127.0f;
      lowest = -127;
      highest = 127;
      break;
    case DType::kQ4_0:
      scale = largest / 7.0f;
      min = -8.0f * scale;
      break;
    default:
      scale = (*high - *low) / 15.0f;
      min = *low;
  }
  put_f16(out, scale);
  if (dtype == DType::kQ4_1) put_f16(out, min);
  const auto level = [&](int i) {
    const float q = scale > 0.0f ? std::nearbyint((x[i] - min) / scale) : 0.0f;
    return std::clamp(static_cast<int>(q), lowest, highest);
  };
  if (dtype == DType::kQ8_0) {
    for (int i = 0; i < 32; ++i) out[i] = static_cast<uint8_t>(level(i));
  } else {
    for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>(level(i) | level(i + 16) << 4);
  }
}

std::vector<uint8_t> store(DType dtype, const std::vector<float>& values) {
  const DTypeTraits& type = traits(dtype);
  std::vector<uint8_t> bytes(values.size() / type.block_elements * type.block_bytes);
  uint8_t* out = bytes.data();
  for (size_t i = 0; i < values.size(); i += type.block_elements) {
    switch (dtype) {
      case DType::kF32:
        std::memcpy(out + i * 4, &values[i], 4);
        break;
      case DType::kF16: {
        uint8_t* p = out + i * 2;
        put_f16(p, values[i]);
        break;
      }
      default:
        quantize_block(dtype, &values[i], out + i / 32 * type.block_bytes);
    }
  }
  return bytes;
}

std::vector<float> make_values(const std::string& name, int64_t count) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = tiny_weight(name, i);
  return values;
}

// Writes the file of one model.
class TinyGguf {
 public:
  explicit TinyGguf(const TinyModelConfig& config) : config_(config) {}

  std::vector<uint8_t> write() {
    keys();
    matrix("token_embd.weight", config_.vocab_size, config_.d_model);
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      attention(prefix);
      feed_forward(prefix);
    }
    vector("output_norm.weight", config_.d_model);
    if (!config_.tied_output) matrix("output.weight", config_.vocab_size, config_.d_model);
    for (const auto& [name, values] : config_.tensors) {
      writer_.add_f32_tensor(name, {static_cast<int64_t>(values.size())}, values);
    }
    return writer_.encode();
  }

 private:
  void keys() {
    writer_.add_string("general.architecture", config_.architecture);
    writer_.add_string("general.name", "tiny random " + config_.architecture);
    add("embedding_length", config_.d_model);
    add("block_count", config_.num_layers);
    add("attention.head_count", config_.num_heads);
    add("attention.head_count_kv", config_.num_kv_heads);
    add("attention.key_length", config_.head_dim);
    if (!config_.keys.contains("rope.dimension_count")) {
      add("rope.dimension_count", config_.head_dim);
    }
    add("feed_forward_length", config_.d_ff);
    add("context_length", config_.context_length);
    add("attention.layer_norm_rms_epsilon", 1e-5f);
    add("rope.freq_base", config_.rope_theta);
    for (const auto& [name, value] : config_.keys.items()) add(name, value);
  }

  void add(const std::string& name, const Json& value) {
    const std::string key = config_.architecture + "." + name;
    if (value.is_string()) {
      writer_.add_string(key, value.get<std::string>());
    } else if (value.is_number_float()) {
      writer_.add_f32(key, value.get<float>());
    } else {
      writer_.add_u32(key, value.get<uint32_t>());
    }
  }

  void matrix(const std::string& name, int64_t rows, int64_t columns) {
    writer_.add_tensor(name, config_.matrix_type, {rows, columns},
                       store(config_.matrix_type, make_values(name, rows * columns)));
  }
  void vector(const std::string& name, int64_t size) {
    writer_.add_f32_tensor(name, {size}, make_values(name, size));
  }
  bool is(std::string_view architecture) const { return config_.architecture == architecture; }
  bool is_gemma() const { return config_.architecture.starts_with("gemma"); }

  void attention(const std::string& prefix) {
    const int64_t d = config_.d_model;
    const int64_t q = config_.num_heads * config_.head_dim;
    const int64_t kv = config_.num_kv_heads * config_.head_dim;
    vector(prefix + "attn_norm.weight", d);
    if (is("phi3")) {
      matrix(prefix + "attn_qkv.weight", q + 2 * kv, d);
    } else {
      matrix(prefix + "attn_q.weight", q, d);
      matrix(prefix + "attn_k.weight", kv, d);
      matrix(prefix + "attn_v.weight", kv, d);
    }
    if (is("qwen2")) {
      vector(prefix + "attn_q.bias", q);
      vector(prefix + "attn_k.bias", kv);
      vector(prefix + "attn_v.bias", kv);
    }
    if (is("qwen3") || is("gemma3")) {
      vector(prefix + "attn_q_norm.weight", config_.head_dim);
      vector(prefix + "attn_k_norm.weight", config_.head_dim);
    }
    matrix(prefix + "attn_output.weight", d, q);
    if (is_gemma()) vector(prefix + "post_attention_norm.weight", d);
  }

  void feed_forward(const std::string& prefix) {
    const int64_t d = config_.d_model;
    vector(prefix + "ffn_norm.weight", d);
    if (is("phi3")) {
      matrix(prefix + "ffn_up.weight", 2 * config_.d_ff, d);
    } else {
      matrix(prefix + "ffn_gate.weight", config_.d_ff, d);
      matrix(prefix + "ffn_up.weight", config_.d_ff, d);
    }
    matrix(prefix + "ffn_down.weight", d, config_.d_ff);
    if (is_gemma()) vector(prefix + "post_ffw_norm.weight", d);
  }

  const TinyModelConfig& config_;
  GgufWriter writer_;
};

}  // namespace

float tiny_weight(const std::string& name, int64_t index) {
  const uint64_t x = splitmix64(fnv1a(name) + static_cast<uint64_t>(index));
  const float r = 2.0f * (static_cast<float>(x >> 40) * 0x1p-24f) - 1.0f;
  if (name == "token_embd.weight" || name.ends_with(".bias")) return r;
  const float scaled = r * 0.1f;
  return name.find("norm") != std::string::npos ? 1.0f + scaled : scaled;
}

TinyModelConfig tiny_config(const Json& golden) {
  const Json& sizes = golden["config"];
  TinyModelConfig config;
  config.architecture = sizes.value("architecture", "llama");
  config.vocab_size = sizes["vocab_size"];
  config.d_model = sizes["d_model"];
  config.num_layers = sizes["num_layers"];
  config.num_heads = sizes["num_heads"];
  config.num_kv_heads = sizes["num_kv_heads"];
  config.head_dim = sizes["head_dim"];
  config.d_ff = sizes["d_ffn"];
  config.rope_theta = sizes["rope_theta"];
  config.tied_output = sizes["tied_embeddings"];
  config.context_length = sizes.value("context_length", config.context_length);
  config.keys = sizes.value("keys", Json::object());
  if (golden.contains("tensors")) golden["tensors"].get_to(config.tensors);
  return config;
}

std::vector<uint8_t> make_tiny_model(const TinyModelConfig& config) {
  return TinyGguf(config).write();
}

}  // namespace forerun
