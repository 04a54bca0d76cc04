#include "models/descriptor.h"

#include <cmath>
#include <numbers>
#include <string_view>

namespace forerun {
namespace {

// What a family does differently, read from the architecture's name.
struct Family {
  std::string_view architecture;
  RotaryPairs pairs;
};

constexpr Family kFamilies[] = {
    {"llama", RotaryPairs::kAdjacent},
};

const Family* find_family(std::string_view architecture) {
  for (const Family& family : kFamilies) {
    if (family.architecture == architecture) return &family;
  }
  return nullptr;
}

Error out_of_range(std::string_view field, int64_t value, std::string_view limit) {
  return Error{"the model's " + std::string(field) + " is " + std::to_string(value) +
               "; the engine takes " + std::string(limit)};
}

// Reads "<architecture>.<name>" keys and remembers the first failure.
class KeyReader {
 public:
  KeyReader(const Gguf& file, std::string architecture)
      : file_(file), prefix_(std::move(architecture) + ".") {}

  int64_t size(std::string_view name) { return take(file_.get_u64(prefix_ + std::string(name))); }
  int64_t size_or(std::string_view name, int64_t otherwise) {
    return take(file_.get_u64_or(prefix_ + std::string(name), static_cast<uint64_t>(otherwise)));
  }
  float real(std::string_view name) {
    return static_cast<float>(take(file_.get_f64(prefix_ + std::string(name))));
  }
  float real_or(std::string_view name, double otherwise) {
    return static_cast<float>(take(file_.get_f64_or(prefix_ + std::string(name), otherwise)));
  }
  const Status& status() const { return status_; }

 private:
  template <typename T>
  T take(const Result<T>& result) {
    if (result.ok()) return *result;
    if (status_.ok()) status_ = result.error();
    return T{};
  }

  const Gguf& file_;
  std::string prefix_;
  Status status_;
};

Status read_rotary(const Gguf& file, KeyReader& keys, ModelDescriptor& model) {
  RotaryEmbedding& rotary = model.rotary;
  rotary.theta = keys.real_or("rope.freq_base", 10000.0);
  const std::string scaling_key = model.architecture + ".rope.scaling.type";
  const Result<std::string_view> scaling = file.get_string_or(scaling_key, "none");
  if (!scaling.ok()) return scaling.error();
  if (*scaling == "linear") {
    rotary.linear_factor = keys.real("rope.scaling.factor");
  } else if (*scaling != "none" && !scaling->empty()) {
    return Error{
        file.path() + ": " + scaling_key + " is '" + std::string(*scaling) +
        "'; the engine knows none and linear, and Llama-3's by a tensor rope_freqs.weight"};
  }
  const TensorView* factors = file.find_tensor("rope_freqs.weight");
  if (factors == nullptr) return {};
  if (factors->dtype != DType::kF32 || factors->num_elements() != model.head_dim / 2) {
    return Error{file.path() + ": rope_freqs.weight must be F32 [" +
                 std::to_string(model.head_dim / 2) + "], it is " +
                 std::string(traits(factors->dtype).name) + " " + to_string(factors->shape)};
  }
  const auto* values = reinterpret_cast<const float*>(factors->data);
  rotary.frequency_factors.assign(values, values + factors->num_elements());
  return {};
}

Result<ModelDescriptor> read_gguf_descriptor(const Gguf& file);

Result<ModelDescriptor> read_directory_descriptor(const HfDirectory& directory) {
  return Error{directory.path() + ": config.json is not read yet; give a GGUF file"};
}

}  // namespace

Result<ModelDescriptor> read_descriptor(const ModelFiles& files) {
  if (files.gguf() != nullptr) return read_gguf_descriptor(*files.gguf());
  return read_directory_descriptor(*files.directory());
}

std::string known_architectures() {
  std::string names;
  for (const Family& family : kFamilies) {
    names += (names.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return names;
}

Status validate(const ModelDescriptor& model) {
  const auto in = [](int64_t value, int64_t low, int64_t high) {
    return value >= low && value <= high;
  };
  if (!in(model.vocab_size, 1, 1 << 24)) {
    return out_of_range("vocabulary size", model.vocab_size, "1 to 16777216");
  }
  if (!in(model.d_model, 16, 1 << 17) || model.d_model % 16 != 0) {
    return out_of_range("embedding length", model.d_model, "multiples of 16 up to 131072");
  }
  if (!in(model.num_layers, 1, 1024)) {
    return out_of_range("number of layers", model.num_layers, "1 to 1024");
  }
  if (!in(model.num_heads, 1, 1024)) {
    return out_of_range("number of heads", model.num_heads, "1 to 1024");
  }
  if (!in(model.num_kv_heads, 1, model.num_heads) || model.num_heads % model.num_kv_heads != 0) {
    return out_of_range("number of key/value heads", model.num_kv_heads,
                        "divisors of its " + std::to_string(model.num_heads) + " heads");
  }
  if (!in(model.head_dim, 2, 1024) || model.head_dim % 2 != 0) {
    return out_of_range("head size", model.head_dim, "even sizes from 2 to 1024");
  }
  if (!in(model.d_ff, 1, 1 << 20)) {
    return out_of_range("feed-forward length", model.d_ff, "1 to 1048576");
  }
  if (!in(model.context_length, 1, int64_t{1} << 31)) {
    return out_of_range("context length", model.context_length, "1 to 2147483648");
  }
  if (!(model.rms_epsilon >= 0.0f) || !(model.rms_epsilon < 1.0f)) {
    return Error{"the model's normalisation epsilon must be between 0 and 1"};
  }
  if (!(model.rotary.theta > 0.0f) || !std::isfinite(model.rotary.theta) ||
      !(model.rotary.linear_factor > 0.0f) || !std::isfinite(model.rotary.linear_factor)) {
    return Error{"the model's rotary base and scaling factor must be positive and finite"};
  }
  for (const float factor : model.rotary.frequency_factors) {
    if (!(factor > 0.0f) || !std::isfinite(factor)) {
      return Error{"the model's rotary frequency factors must be positive and finite"};
    }
  }
  return {};
}

namespace {

Result<ModelDescriptor> read_gguf_descriptor(const Gguf& file) {
  const Result<std::string_view> architecture = file.get_string("general.architecture");
  if (!architecture.ok()) return architecture.error();
  const Family* family = find_family(*architecture);
  if (family == nullptr) {
    return Error{file.path() + ": architecture '" + std::string(*architecture) +
                 "' is not known; the engine runs: " + known_architectures()};
  }
  ModelDescriptor model;
  model.architecture = *architecture;
  const Result<std::string_view> name = file.get_string_or("general.name", *architecture);
  if (!name.ok()) return name.error();
  model.name = *name;
  model.rotary.pairs = family->pairs;

  KeyReader keys(file, model.architecture);
  model.d_model = keys.size("embedding_length");
  model.num_layers = static_cast<int>(std::min<int64_t>(keys.size("block_count"), 1 << 20));
  const int64_t num_heads = keys.size("attention.head_count");
  model.num_heads = static_cast<int>(std::min<int64_t>(num_heads, 1 << 20));
  model.num_kv_heads = static_cast<int>(
      std::min<int64_t>(keys.size_or("attention.head_count_kv", num_heads), 1 << 20));
  model.d_ff = keys.size("feed_forward_length");
  model.context_length = keys.size("context_length");
  model.rms_epsilon = keys.real("attention.layer_norm_rms_epsilon");
  if (!keys.status().ok()) return keys.status().error();
  model.head_dim =
      keys.size_or("attention.key_length", num_heads > 0 ? model.d_model / num_heads : 0);
  const int64_t rotated = keys.size_or("rope.dimension_count", model.head_dim);
  const Result<TensorView> embedding = file.get_tensor("token_embd.weight");
  if (!embedding.ok()) return embedding.error();
  model.vocab_size = embedding->shape.empty() ? 0 : embedding->shape[0];
  if (const Status rotary = read_rotary(file, keys, model); !rotary.ok()) return rotary.error();
  if (!keys.status().ok()) return keys.status().error();
  if (rotated != model.head_dim) {
    return out_of_range("rotated part of a head", rotated,
                        "the whole head of " + std::to_string(model.head_dim));
  }
  if (const Status valid = validate(model); !valid.ok()) {
    return Error{file.path() + ": " + valid.error().message};
  }
  return model;
}

}  // namespace

std::vector<float> llama3_frequency_factors(float theta, int64_t head_dim, float factor,
                                            float low_frequency_factor, float high_frequency_factor,
                                            int64_t original_context) {
  const auto context = static_cast<double>(original_context);
  const double longest = context / low_frequency_factor;
  const double shortest = context / high_frequency_factor;
  std::vector<float> factors;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double frequency =
        std::pow(static_cast<double>(theta), -2.0 * static_cast<double>(i) / head_dim);
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength < shortest) {
      factors.push_back(1.0f);
    } else if (wavelength > longest) {
      factors.push_back(factor);
    } else {
      const double smooth = (context / wavelength - low_frequency_factor) /
                            (high_frequency_factor - low_frequency_factor);
      factors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / factor + smooth)));
    }
  }
  return factors;
}

}  // namespace forerun
