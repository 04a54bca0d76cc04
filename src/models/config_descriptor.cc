// Descriptors from Hugging Face's config.json, whose meaning is that of transformers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "formats/json_members.h"
#include "formats/quote.h"
#include "models/descriptor.h"
#include "models/family.h"

namespace forerun {
namespace {

// A model of text and more holds the language model's part in an object of its own.
const Json& text_part(const Json& config) {
  const auto part = config.find("text_config");
  return part != config.end() && part->is_object() ? *part : config;
}

class ConfigReader {
 public:
  // `config` is the language model's part, with the family's defaults filled in.
  ConfigReader(const Json& config, const Family& family, const std::string& path)
      : family_(family), config_(config, path, status_) {}

  Result<ModelDescriptor> read(std::string architecture, std::string name) {
    model_.architecture = std::move(architecture);
    model_.name = std::move(name);
    model_.qkv_bias = family_.qkv_bias || config_.truth_or("attention_bias", false);
    take_traits(family_, model_);
    model_.tied_output = config_.truth_or("tie_word_embeddings", false);
    model_.storage = {TensorNaming::kHuggingFace, RotaryPairs::kHalves, family_.fused,
                      family_.norms_less_one};
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
  Error in_file(const Error& error) const { return Error{config_.path() + ": " + error.message}; }

  void read_sizes() {
    model_.vocab_size = config_.size("vocab_size");
    model_.d_model = config_.size("hidden_size");
    model_.num_layers = as_count(config_.size("num_hidden_layers"));
    model_.num_heads = as_count(config_.size("num_attention_heads"));
    model_.num_kv_heads = as_count(config_.size_or("num_key_value_heads", model_.num_heads));
    model_.head_dim =
        config_.size_or("head_dim", model_.num_heads > 0 ? model_.d_model / model_.num_heads : 0);
    model_.d_ff = config_.size("intermediate_size");
    model_.context_length = config_.size("max_position_embeddings");
    model_.rms_epsilon = static_cast<float>(config_.real_or("rms_norm_eps", 1e-6));
  }

  void read_windows() {
    model_.windows.assign(model_.num_layers, 0);
    int64_t window = config_.size_or("sliding_window", 0);
    const bool from_layer = family_.windowed == WindowedLayers::kFromLayer;
    if (from_layer && !config_.truth_or("use_sliding_window", false)) window = 0;
    if (family_.windowed == WindowedLayers::kNone || window == 0) return;
    const bool listed = family_.windowed != WindowedLayers::kAll && config_.has("layer_types");
    if (listed) return read_layer_types(window);
    const int64_t first = from_layer ? config_.size("max_window_layers") : 0;
    const int64_t every = config_.size_or("sliding_window_pattern", family_.full_every);
    for (int layer = 0; layer < model_.num_layers; ++layer) {
      const bool sees_all =
          family_.windowed == WindowedLayers::kAllButEvery && every > 0 && (layer + 1) % every == 0;
      if (layer >= first && !sees_all) model_.windows[layer] = window;
    }
  }

  void read_layer_types(int64_t window) {
    int layer = 0;
    config_.list("layer_types", model_.num_layers, [&](const Json& type) {
      if (type == "sliding_attention") {
        model_.windows[layer] = window;
      } else if (type != "full_attention") {
        config_.wrong("layer_types", type, "a list of full_attention and sliding_attention");
      }
      ++layer;
    });
    if (layer != model_.num_layers) config_.fail("layer_types must have one entry for each layer");
  }

  // Newer files keep all that concerns the rotation in rope_parameters, for each type of layer
  // where they differ; older ones have rope_theta beside rope_scaling.
  void read_rotaries() {
    const char* member = config_.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
    static const Json kNothing = Json::object();
    const Json* all = config_.find(member);
    if (all == nullptr) all = &kNothing;
    if (!all->is_object()) return config_.wrong(member, *all, "an object");
    const auto full = all->find("full_attention");
    const auto sliding = all->find("sliding_attention");
    const Json& global = full != all->end() && full->is_object() ? *full : *all;
    const Json& local = sliding != all->end() && sliding->is_object() ? *sliding : kNothing;
    model_.rotary = read_rotary(global, config_.real_or("rope_theta", 10000.0));
    if (family_.window_theta == 0.0) return;
    model_.window_rotary =
        read_rotary(local, config_.real_or("rope_local_base_freq", family_.window_theta));
  }

  RotaryEmbedding read_rotary(const Json& object, double theta) {
    JsonMembers members(object, config_.path(), status_);
    RotaryParameters parameters;
    parameters.theta = members.real_or("rope_theta", theta);
    const double part =
        members.real_or("partial_rotary_factor", config_.real_or("partial_rotary_factor", 1.0));
    parameters.rotated =
        static_cast<int64_t>(static_cast<double>(model_.head_dim) * std::clamp(part, 0.0, 1.0));
    if (!(part > 0.0 && part <= 1.0) || parameters.rotated < 2 || parameters.rotated % 2 != 0) {
      config_.fail("partial_rotary_factor must be above 0, at most 1, and leave an even part of " +
                   std::to_string(model_.head_dim));
      return {};
    }
    read_scaling(members, parameters);
    if (!status_.ok()) return {};
    Result<RotaryEmbedding> rotary = make_rotary(parameters);
    if (rotary.ok()) return std::move(*rotary);
    config_.fail(rotary.error().message);
    return {};
  }

  void read_scaling(JsonMembers& members, RotaryParameters& parameters) {
    std::string type = members.text_or("rope_type", members.text_or("type", "default"));
    // Phi-3's first files.
    if (type == "su" || (family_.fused && type == "yarn")) type = "longrope";
    if (type == "default") return;
    const auto trained = static_cast<double>(model_.context_length);
    parameters.original_context =
        members.real_or("original_max_position_embeddings",
                        config_.real_or("original_max_position_embeddings", trained));
    if (type == "linear") {
      parameters.scaling = RotaryScaling::kLinear;
      parameters.factor = members.real("factor");
    } else if (type == "llama3") {
      parameters.scaling = RotaryScaling::kLlama3;
      parameters.factor = members.real("factor");
      parameters.low_frequency_factor = members.real("low_freq_factor");
      parameters.high_frequency_factor = members.real("high_freq_factor");
    } else if (type == "yarn") {
      read_yarn(members, parameters);
    } else if (type == "longrope") {
      read_longrope(members, parameters);
    } else {
      config_.fail("rope type " + quote(type) +
                   " is not known; the engine knows default, linear, llama3, yarn and longrope");
    }
  }

  // What a context stretched by `factor` multiplies cosines and sines by.
  static double yarn_attention(double factor, double multiplier) {
    return factor <= 1.0 ? 1.0 : 0.1 * multiplier * std::log(factor) + 1.0;
  }

  void read_yarn(JsonMembers& members, RotaryParameters& parameters) {
    const auto context = static_cast<double>(model_.context_length);
    parameters.scaling = RotaryScaling::kYarn;
    parameters.factor = members.real_or("factor", context / parameters.original_context);
    parameters.beta_fast = members.real_or("beta_fast", 32.0);
    parameters.beta_slow = members.real_or("beta_slow", 1.0);
    parameters.truncate = members.truth_or("truncate", true);
    const double mscale = members.real_or("mscale", 0.0);
    const double all = members.real_or("mscale_all_dim", 0.0);
    if (members.has("attention_factor")) {
      parameters.attention = members.real("attention_factor");
    } else if (mscale != 0.0 && all != 0.0) {
      parameters.attention =
          yarn_attention(parameters.factor, mscale) / yarn_attention(parameters.factor, all);
    }
  }

  // The whole context is on offer, so its length decides between the two sets of factors.
  void read_longrope(JsonMembers& members, RotaryParameters& parameters) {
    const auto context = static_cast<double>(model_.context_length);
    const bool is_long = context > parameters.original_context;
    const char* name = is_long ? "long_factor" : "short_factor";
    parameters.scaling = RotaryScaling::kDivisors;
    members.list(name, static_cast<size_t>(parameters.rotated / 2), [&](const Json& divisor) {
      if (!divisor.is_number()) members.wrong(name, divisor, "a list of numbers");
      parameters.divisors.push_back(divisor.is_number() ? divisor.get<float>() : 1.0f);
    });
    const double stretch = members.real_or("factor", context / parameters.original_context);
    const double attention =
        stretch <= 1.0 ? 1.0
                       : std::sqrt(1.0 + std::log(stretch) / std::log(parameters.original_context));
    parameters.attention = members.real_or("attention_factor", attention);
  }

  void read_scales() {
    if (family_.scaled_embedding) {
      model_.embedding_scale = std::sqrt(static_cast<float>(model_.d_model));
    }
    const auto head_dim = static_cast<double>(model_.head_dim);
    model_.attention_scale =
        static_cast<float>(1.0 / std::sqrt(config_.real_or("query_pre_attn_scalar", head_dim)));
    model_.attention_soft_cap = static_cast<float>(config_.real_or("attn_logit_softcapping", 0.0));
    model_.logit_soft_cap = static_cast<float>(config_.real_or("final_logit_softcapping", 0.0));
  }

  // JsonMembers that change what a model computes and that no family here needs.
  void refuse_what_is_missing() {
    const std::string activation =
        config_.text_or("hidden_activation", config_.text_or("hidden_act", "silu"));
    const std::string_view wanted =
        family_.activation == Activation::kSilu ? "silu" : "gelu_pytorch_tanh";
    if (activation != wanted) {
      config_.fail("activation " + quote(activation) + " is not the family's, which is " +
                   quote(wanted));
    }
    for (const char* name : {"num_experts", "num_local_experts", "n_routed_experts"}) {
      if (config_.size_or(name, 0) > 0) {
        config_.fail(std::string(name) + " asks for experts, which the engine does not have yet");
      }
    }
    if (config_.truth_or("use_bidirectional_attention", false)) {
      config_.fail("use_bidirectional_attention is true; the engine computes causal models");
    }
    if (const Json* quantization = config_.find("quantization_config")) {
      JsonMembers members(*quantization, config_.path(), status_);
      config_.fail("the weights are quantised (" +
                   quote(members.text_or("quant_method", "unknown")) +
                   "); give a model in F32, F16 or BF16, or a .gguf file");
    }
  }

  const Family& family_;
  Status status_;
  JsonMembers config_;
  ModelDescriptor model_;
};

}  // namespace

Result<ModelDescriptor> read_descriptor(const Json& config, const std::string& path) {
  if (!config.is_object()) return Error{path + ": it must be a JSON object"};
  Status status;
  const Json& text = text_part(config);
  JsonMembers outer(config, path, status);
  JsonMembers inner(text, path, status);
  const std::string type = inner.text_or("model_type", outer.text_or("model_type", ""));
  std::string architecture = type;
  if (const Json* classes = outer.find("architectures");
      classes != nullptr && classes->is_array() && !classes->empty() && (*classes)[0].is_string()) {
    architecture = (*classes)[0].get<std::string>();
  }
  if (!status.ok()) return status.error();
  if (type.empty()) return Error{path + ": model_type is missing"};
  const Result<const Family*> family = find_config_family(type);
  if (!family.ok()) {
    return Error{path + " is of " + quote(architecture) + ": " + family.error().message};
  }
  if (architecture != type && !architecture.ends_with("ForCausalLM") &&
      !architecture.ends_with("ForConditionalGeneration")) {
    return Error{path + " is of " + quote(architecture) +
                 ", no language model; the engine runs those called ...ForCausalLM"};
  }
  Json filled = Json::parse((*family)->config_defaults);
  filled.update(text);
  return ConfigReader(filled, **family, path).read(type, architecture);
}

}  // namespace forerun
