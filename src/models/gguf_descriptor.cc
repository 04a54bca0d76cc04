// Descriptors from GGUF's keys, whose meaning is that of llama.cpp.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "formats/quote.h"
#include "models/descriptor.h"
#include "models/family.h"

namespace forerun {
namespace {

// Reads "<architecture>.<name>" keys and remembers the first failure.
class GgufReader {
 public:
  explicit GgufReader(const Gguf& file) : file_(file) {}

  Result<ModelDescriptor> read() {
    if (const Status begun = read_family(); !begun.ok()) return begun.error();
    read_sizes();
    if (!status_.ok()) return status_.error();
    if (const Status valid = validate(model_); !valid.ok()) return in_file(valid.error());
    read_windows();
    read_rotaries();
    read_scales();
    refuse_what_is_missing();
    if (!status_.ok()) return status_.error();
    if (const Status valid = validate(model_); !valid.ok()) return in_file(valid.error());
    return std::move(model_);
  }

 private:
  std::string key(std::string_view name) const {
    return model_.architecture + "." + std::string(name);
  }
  bool has(std::string_view name) const { return file_.find(key(name)) != nullptr; }
  int64_t size(std::string_view name) { return take(file_.get_u64(key(name))); }
  int64_t size_or(std::string_view name, int64_t otherwise) {
    return take(file_.get_u64_or(key(name), static_cast<uint64_t>(otherwise)));
  }
  double real(std::string_view name) { return take(file_.get_f64(key(name))); }
  double real_or(std::string_view name, double otherwise) {
    return take(file_.get_f64_or(key(name), otherwise));
  }

  template <typename T>
  T take(const Result<T>& result) {
    if (result.ok()) return *result;
    fail(result.error());
    return T{};
  }
  void fail(Error error) {
    if (status_.ok()) status_ = std::move(error);
  }
  Error in_file(const Error& error) const { return Error{file_.path() + ": " + error.message}; }

  Status read_family() {
    const Result<std::string_view> architecture = file_.get_string("general.architecture");
    if (!architecture.ok()) return architecture.error();
    const Result<const Family*> family = find_gguf_family(*architecture);
    if (!family.ok()) return in_file(family.error());
    family_ = *family;
    model_.architecture = *architecture;
    const Result<std::string_view> name = file_.get_string_or("general.name", *architecture);
    if (!name.ok()) return name.error();
    model_.name = *name;
    model_.qkv_bias = family_->qkv_bias || file_.find_tensor("blk.0.attn_q.bias") != nullptr;
    take_traits(*family_, model_);
    model_.tied_output = file_.find_tensor("output.weight") == nullptr;
    model_.storage = {TensorNaming::kGguf, family_->gguf_pairs, family_->fused,
                      /*norms_less_one=*/false};
    return {};
  }

  void read_sizes() {
    model_.d_model = size("embedding_length");
    model_.num_layers = as_count(size("block_count"));
    model_.num_heads = as_count(size("attention.head_count"));
    model_.num_kv_heads = as_count(size_or("attention.head_count_kv", model_.num_heads));
    model_.d_ff = size("feed_forward_length");
    model_.context_length = size("context_length");
    model_.rms_epsilon = static_cast<float>(real("attention.layer_norm_rms_epsilon"));
    if (!status_.ok()) return;
    model_.head_dim = size_or("attention.key_length",
                              model_.num_heads > 0 ? model_.d_model / model_.num_heads : 0);
    const TensorView embedding = take(file_.get_tensor("token_embd.weight"));
    model_.vocab_size = embedding.shape.empty() ? 0 : embedding.shape[0];
  }

  void read_windows() {
    const int64_t window = size_or("attention.sliding_window", 0);
    if (family_->soft_caps) size("attention.sliding_window");
    model_.windows.assign(model_.num_layers, window);
    if (window == 0) return;
    constexpr std::string_view kPattern = "attention.sliding_window_pattern";
    const GgufValue* pattern = file_.find(key(kPattern));
    if (pattern != nullptr && pattern->is_array()) return read_window_list(*pattern, window);
    const int64_t every = size_or(kPattern, family_->full_every);
    for (int layer = 0; every > 0 && layer < model_.num_layers; ++layer) {
      if ((layer + 1) % every == 0) model_.windows[layer] = 0;
    }
  }

  // One truth value a layer: whether it has a window.
  void read_window_list(const GgufValue& pattern, int64_t window) {
    if (pattern.count != static_cast<uint64_t>(model_.num_layers)) {
      return fail({file_.path() + ": " + key("attention.sliding_window_pattern") + " is an " +
                   pattern.describe() + "; it must have one for each of " +
                   std::to_string(model_.num_layers) + " layers"});
    }
    for (int layer = 0; layer < model_.num_layers; ++layer) {
      const GgufValue element = pattern.element(layer);
      const bool windowed = pattern.element_type == GgufValueType::kBool
                                ? take(element.to_bool())
                                : take(element.to_u64()) != 0;
      model_.windows[layer] = windowed ? window : 0;
    }
  }

  void read_rotaries() {
    RotaryParameters parameters;
    parameters.theta = real_or("rope.freq_base", 10000.0);
    parameters.rotated = size_or("rope.dimension_count", model_.head_dim);
    if (parameters.rotated < 2 || parameters.rotated > model_.head_dim ||
        parameters.rotated % 2 != 0) {
      return fail({file_.path() + ": " + key("rope.dimension_count") + " is " +
                   std::to_string(parameters.rotated) +
                   "; it must be even and at most the head's " + std::to_string(model_.head_dim)});
    }
    RotaryParameters windowed = parameters;
    read_scaling(parameters);
    if (!status_.ok()) return;
    const Result<RotaryEmbedding> rotary = make_rotary(parameters);
    if (!rotary.ok()) return fail(in_file(rotary.error()));
    model_.rotary = *rotary;
    if (family_->window_theta == 0.0) return;
    windowed.theta = real_or("rope.freq_base_swa", family_->window_theta);
    const Result<RotaryEmbedding> window_rotary = make_rotary(windowed);
    if (!window_rotary.ok()) return fail(in_file(window_rotary.error()));
    model_.window_rotary = *window_rotary;
  }

  void read_scaling(RotaryParameters& parameters) {
    const std::string_view type = take(file_.get_string_or(key("rope.scaling.type"), ""));
    parameters.original_context =
        real_or("rope.scaling.original_context_length", static_cast<double>(model_.context_length));
    if (type.empty()) {
      parameters.scaling = RotaryScaling::kLinear;
      parameters.factor = real_or("rope.scaling.factor", real_or("rope.scale_linear", 1.0));
    } else if (type == "linear") {
      parameters.scaling = RotaryScaling::kLinear;
      parameters.factor = real("rope.scaling.factor");
    } else if (type == "yarn") {
      parameters.scaling = RotaryScaling::kYarn;
      parameters.factor = real("rope.scaling.factor");
      parameters.beta_fast = real_or("rope.scaling.yarn_beta_fast", 32.0);
      parameters.beta_slow = real_or("rope.scaling.yarn_beta_slow", 1.0);
      if (has("rope.scaling.yarn_attn_factor")) {
        parameters.attention = real("rope.scaling.yarn_attn_factor");
      }
    } else if (type != "none" && type != "longrope") {
      fail({file_.path() + ": " + key("rope.scaling.type") + " is " + quote(type) +
            "; the engine knows none, linear, yarn and longrope, and Llama-3's by a tensor "
            "rope_freqs.weight"});
    }
    read_divisors(parameters);
    if (type == "longrope" && parameters.divisors.empty()) {
      fail({file_.path() + ": " + key("rope.scaling.type") +
            " is longrope, but a tensor rope_factors_long.weight or rope_factors_short.weight is "
            "missing"});
    }
    if (has("rope.scaling.attn_factor")) parameters.attention = real("rope.scaling.attn_factor");
  }

  // Divisors of the frequencies stand in tensors: Llama-3's, or longrope's for contexts up to the
  // one first trained and beyond it. The file's whole context is on offer, so its length decides.
  void read_divisors(RotaryParameters& parameters) {
    const bool is_long = static_cast<double>(model_.context_length) > parameters.original_context;
    for (const char* name : {"rope_freqs.weight",
                             is_long ? "rope_factors_long.weight" : "rope_factors_short.weight"}) {
      if (file_.find_tensor(name) == nullptr) continue;
      const TensorView divisors = take(file_.get_tensor(name));
      if (!status_.ok()) return;
      if (divisors.dtype != DType::kF32 || divisors.num_elements() != parameters.rotated / 2) {
        return fail({file_.path() + ": " + name + " must be F32 [" +
                     std::to_string(parameters.rotated / 2) + "], it is " +
                     std::string(traits(divisors.dtype).name) + " " + to_string(divisors.shape)});
      }
      if (parameters.scaling == RotaryScaling::kYarn) {
        return fail({file_.path() + ": " + name + " beside yarn is not known"});
      }
      parameters.scaling = RotaryScaling::kDivisors;
      parameters.divisors.resize(divisors.num_elements());
      std::memcpy(parameters.divisors.data(), divisors.data, divisors.num_bytes());
      return;
    }
  }

  void read_scales() {
    const auto d_model = static_cast<double>(model_.d_model);
    if (family_->scaled_embedding) model_.embedding_scale = static_cast<float>(std::sqrt(d_model));
    const auto scaled_width = model_.num_layers == family_->layers_scaled_by_width
                                  ? d_model / model_.num_heads
                                  : static_cast<double>(model_.head_dim);
    model_.attention_scale = static_cast<float>(1.0 / std::sqrt(scaled_width));
    const auto soft_cap = [&](std::string_view name) {
      return static_cast<float>(family_->soft_caps ? real(name) : real_or(name, 0.0));
    };
    model_.attention_soft_cap = soft_cap("attn_logit_softcapping");
    model_.logit_soft_cap = soft_cap("final_logit_softcapping");
  }

  // Keys that change what a model computes and that no family here needs.
  void refuse_what_is_missing() {
    const std::pair<std::string_view, std::string_view> kMissing[] = {
        {"expert_count", "experts"},
        {"attention.temperature_scale", "scores scaled by position"},
        {"rope.scaling.yarn_log_multiplier", "yarn's log multiplier"}};
    for (const auto& [name, what] : kMissing) {
      if (real_or(name, 0.0) == 0.0) continue;
      fail({file_.path() + ": " + key(name) + " asks for " + std::string(what) +
            ", which the engine does not have yet"});
    }
    if (real_or("rope.scaling.yarn_ext_factor", 1.0) != 1.0) {
      fail({file_.path() + ": " + key("rope.scaling.yarn_ext_factor") + " must be 1"});
    }
    if (size_or("attention.value_length", model_.head_dim) != model_.head_dim) {
      fail({file_.path() + ": " + key("attention.value_length") +
            " differs from attention.key_length; the engine needs them equal"});
    }
  }

  const Gguf& file_;
  const Family* family_ = nullptr;
  ModelDescriptor model_;
  Status status_;
};

}  // namespace

Result<ModelDescriptor> read_descriptor(const Gguf& file) {
  return GgufReader(file).read();
}

}  // namespace forerun
