#include "models/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/check.h"
#include "formats/gguf_writer.h"
#include "tensor/float16.h"
#include "tensor/quant_block.h"

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

// The grid of the inputs under one scale: x ≈ scale · level + min.
struct Grid {
  float scale;
  float min;
};

// It spans the inputs' extremes.
Grid grid_of(const QuantTraits& type, const float* x) {
  const auto [low, high] = std::minmax_element(x, x + type.scale_inputs);
  const auto highest = static_cast<float>(level_of(type, type.largest_number()));
  if (!type.has_min) return {std::max(std::fabs(*low), std::fabs(*high)) / highest, 0.0f};
  const float min = type.has_sub_scales() ? std::min(*low, 0.0f) : *low;
  return {(*high - min) / highest, min};
}

// The nearest level's number.
uint8_t number_of(const QuantTraits& type, const Grid& grid, float x) {
  const float level = grid.scale > 0.0f ? (x - grid.min) / grid.scale : 0.0f;
  if (!type.has_codebook) {
    const int number = static_cast<int>(std::nearbyint(level)) + type.offset;
    return static_cast<uint8_t>(std::clamp(number, 0, type.largest_number()));
  }
  const auto nearer = [&](int8_t a, int8_t b) {
    return std::fabs(a - level) < std::fabs(b - level);
  };
  return static_cast<uint8_t>(std::min_element(kCodebook, kCodebook + 16, nearer) - kCodebook);
}

// The scale or minimum that a block shares, and each grid's as a small multiple of it.
float share(float largest, const QuantTraits& type, uint16_t& shared) {
  shared = f32_to_f16(type.has_sub_scales() ? largest / type.largest_sub_scale : largest);
  return f16_to_f32(shared);
}
int8_t multiple(float value, float shared) {
  return static_cast<int8_t>(shared != 0.0f ? std::nearbyint(value / shared) : 0.0f);
}

// One block of a quantised type, rounded to nearest: good enough for tests.
void quantize_block(const QuantTraits& type, const float* x, uint8_t* out) {
  QuantBlock block{};
  Grid grids[16];
  float largest_scale = 0.0f;
  float lowest_min = type.has_sub_scales() ? 0.0f : std::numeric_limits<float>::max();
  for (int g = 0; g < type.scales_per_block(); ++g) {
    grids[g] = grid_of(type, x + g * type.scale_inputs);
    largest_scale = std::max(largest_scale, grids[g].scale);
    lowest_min = std::min(lowest_min, grids[g].min);
  }
  const float scale = share(largest_scale, type, block.scale);
  const float min = share(lowest_min, type, block.min);
  for (int g = 0; g < type.scales_per_block(); ++g) {
    block.sub_scales[g] = multiple(grids[g].scale, scale);
    block.sub_mins[g] = multiple(grids[g].min, min);
    const bool has_sub = type.has_sub_scales();
    const Grid grid = {scale * (has_sub ? block.sub_scales[g] : 1),
                       type.has_min ? min * (has_sub ? block.sub_mins[g] : 1) : 0.0f};
    for (int i = g * type.scale_inputs; i < (g + 1) * type.scale_inputs; ++i) {
      block.numbers[i] = number_of(type, grid, x[i]);
    }
  }
  encode_block(type.dtype, block, out);
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
        const uint16_t half = f32_to_f16(values[i]);
        std::memcpy(out + i * 2, &half, 2);
        break;
      }
      case DType::kBF16: {
        const uint16_t half = f32_to_bf16(values[i]);
        std::memcpy(out + i * 2, &half, sizeof(half));
        break;
      }
      default:
        quantize_block(*find_quant_traits(dtype), &values[i],
                       out + i / type.block_elements * type.block_bytes);
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
