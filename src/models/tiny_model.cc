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
