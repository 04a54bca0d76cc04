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
      case DType::kBF16: {
        const uint16_t half = f32_to_bf16(values[i]);
        std::memcpy(out + i * 2, &half, sizeof(half));
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

}  // namespace

float tiny_weight(const std::string& name, int64_t index) {
  const uint64_t x = splitmix64(fnv1a(name) + static_cast<uint64_t>(index));
  const float r = 2.0f * (static_cast<float>(x >> 40) * 0x1p-24f) - 1.0f;
  if (name == "token_embd.weight") return r;
  const float scaled = r * 0.1f;
  return name.find("norm") != std::string::npos ? 1.0f + scaled : scaled;
}

std::vector<uint8_t> make_tiny_model(const TinyModelConfig& config) {
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_string("general.name", "tiny random llama");
  const auto add = [&](const char* key, int64_t value) {
    writer.add_u32(std::string("llama.") + key, static_cast<uint32_t>(value));
  };
  add("embedding_length", config.d_model);
  add("block_count", config.num_layers);
  add("attention.head_count", config.num_heads);
  add("attention.head_count_kv", config.num_kv_heads);
  add("attention.key_length", config.head_dim);
  add("rope.dimension_count", config.head_dim);
  add("feed_forward_length", config.d_ff);
  add("context_length", config.context_length);
  writer.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.add_f32("llama.rope.freq_base", config.rope_theta);

  const auto matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    writer.add_tensor(name, config.matrix_type, {rows, columns},
                      store(config.matrix_type, make_values(name, rows * columns)));
  };
  const auto norm = [&](const std::string& name) {
    writer.add_f32_tensor(name, {config.d_model}, make_values(name, config.d_model));
  };
  const int64_t d = config.d_model;
  const int64_t q = config.num_heads * config.head_dim;
  const int64_t kv = config.num_kv_heads * config.head_dim;
  matrix("token_embd.weight", config.vocab_size, d);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    norm(prefix + "attn_norm.weight");
    matrix(prefix + "attn_q.weight", q, d);
    matrix(prefix + "attn_k.weight", kv, d);
    matrix(prefix + "attn_v.weight", kv, d);
    matrix(prefix + "attn_output.weight", d, q);
    norm(prefix + "ffn_norm.weight");
    matrix(prefix + "ffn_gate.weight", config.d_ff, d);
    matrix(prefix + "ffn_up.weight", config.d_ff, d);
    matrix(prefix + "ffn_down.weight", d, config.d_ff);
  }
  norm("output_norm.weight");
  if (!config.tied_output) matrix("output.weight", config.vocab_size, d);
  if (!config.rope_factors.empty()) {
    writer.add_f32_tensor("rope_freqs.weight", {config.head_dim / 2}, config.rope_factors);
  }
  return writer.encode();
}

}  // namespace forerun
