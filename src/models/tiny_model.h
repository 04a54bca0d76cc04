#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "tensor/dtype.h"

namespace forerun {

// Small random models for tests, made in code: every weight follows from its tensor's name (the
// rule stands in tests/golden/make_tiny_llama.py, which computes their logits independently, as
// make_tiny_families.py does for families other than Llama).
struct TinyModelConfig {
  std::string architecture = "llama";
  int64_t vocab_size = 320;
  int64_t d_model = 64;
  int num_layers = 5;
  int num_heads = 4;
  int num_kv_heads = 2;
  int64_t head_dim = 16;
  int64_t d_ff = 160;
  float rope_theta = 10000.0f;
  bool tied_output = true;
  int64_t context_length = 4096;
  // How matrices are stored; a quantised type rounds the weights.
  DType matrix_type = DType::kF32;
  // Further GGUF keys, behind "<architecture>.": whole numbers, other numbers, strings.
  Json keys = Json::object();
  // Further vectors, such as rope_freqs.weight.
  std::map<std::string, std::vector<float>> tensors;
};

// A model of the golden files: their "config", and "tensors" where there are some.
TinyModelConfig tiny_config(const Json& golden);

// A GGUF file in memory.
std::vector<uint8_t> make_tiny_model(const TinyModelConfig& config);

// Element `index` of tensor `name`, by the rule.
float tiny_weight(const std::string& name, int64_t index);

}  // namespace forerun
