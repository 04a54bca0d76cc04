#include "models/descriptor.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace forerun {
namespace {

Error out_of_range(std::string_view field, int64_t value, std::string_view limit) {
  return Error{"the model's " + std::string(field) + " is " + std::to_string(value) +
               "; the engine takes " + std::string(limit)};
}

bool within(int64_t value, int64_t low, int64_t high) {
  return value >= low && value <= high;
}

Status validate_heads(const ModelDescriptor& model) {
  if (!within(model.num_heads, 1, 1024)) {
    return out_of_range("number of heads", model.num_heads, "1 to 1024");
  }
  if (!within(model.num_kv_heads, 1, model.num_heads) ||
      model.num_heads % model.num_kv_heads != 0) {
    return out_of_range("number of key/value heads", model.num_kv_heads,
                        "divisors of its " + std::to_string(model.num_heads) + " heads");
  }
  if (!within(model.head_dim, 2, 1024) || model.head_dim % 2 != 0) {
    return out_of_range("head size", model.head_dim, "even sizes from 2 to 1024");
  }
  if (model.qk_norm && model.head_dim % 16 != 0) {
    return out_of_range("head size", model.head_dim,
                        "multiples of 16 where queries and keys are normalised");
  }
  return {};
}

Status validate_numbers(const ModelDescriptor& model) {
  if (!(model.rms_epsilon >= 0.0f) || !(model.rms_epsilon < 1.0f)) {
    return Error{"the model's normalisation epsilon must be between 0 and 1"};
  }
  const std::pair<const char*, float> scales[] = {{"attention scale", model.attention_scale},
                                                  {"embedding scale", model.embedding_scale}};
  for (const auto& [name, value] : scales) {
    if (!(value > 0.0f) || !std::isfinite(value)) {
      return Error{std::string("the model's ") + name + " must be positive and finite"};
    }
  }
  const std::pair<const char*, float> caps[] = {{"attention soft-cap", model.attention_soft_cap},
                                                {"logit soft-cap", model.logit_soft_cap}};
  for (const auto& [name, value] : caps) {
    if (!(value >= 0.0f) || value > 1e6f) {
      return Error{std::string("the model's ") + name + " must be between 0 and 1000000"};
    }
  }
  return {};
}

}  // namespace

Result<ModelDescriptor> read_descriptor(const ModelFiles& files) {
  if (files.gguf() != nullptr) return read_descriptor(*files.gguf());
  const HfDirectory& directory = *files.directory();
  return read_descriptor(directory.config(), directory.path() + "/config.json");
}

Status validate(const ModelDescriptor& model) {
  if (!within(model.vocab_size, 1, 1 << 24)) {
    return out_of_range("vocabulary size", model.vocab_size, "1 to 16777216");
  }
  if (!within(model.d_model, 16, 1 << 17) || model.d_model % 16 != 0) {
    return out_of_range("embedding length", model.d_model, "multiples of 16 up to 131072");
  }
  if (!within(model.num_layers, 1, 1024)) {
    return out_of_range("number of layers", model.num_layers, "1 to 1024");
  }
  if (const Status heads = validate_heads(model); !heads.ok()) return heads;
  if (!within(model.d_ff, 1, 1 << 20)) {
    return out_of_range("feed-forward length", model.d_ff, "1 to 1048576");
  }
  if (!within(model.context_length, 1, int64_t{1} << 31)) {
    return out_of_range("context length", model.context_length, "1 to 2147483648");
  }
  for (const int64_t window : model.windows) {
    if (!within(window, 0, int64_t{1} << 31)) {
      return out_of_range("sliding window", window, "up to 2147483648 positions");
    }
  }
  return validate_numbers(model);
}

}  // namespace forerun
