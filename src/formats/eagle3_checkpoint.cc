#include "formats/eagle3_checkpoint.h"

#include <algorithm>

#include "base/pacer.h"
#include "formats/json_members.h"
#include "formats/quote.h"
#include "formats/small_json_file.h"

namespace forerun {
namespace {

constexpr uint64_t kMaxConfigBytes = 1'000'000;
constexpr int64_t kMostTokens = int64_t{1} << 24;
constexpr int64_t kMostHidden = int64_t{1} << 17;
constexpr int kMostLayers = 1024;

// What EAGLE-3.1 added, and what of it would have to be computed. One key means two things:
// speculators, whose `layer` is nested, recycle the normed state where norm_output is true;
// SpecForge's logits read the normed state unless it is false.
void refuse_what_is_not_computed(JsonMembers& config, JsonMembers& layer, bool nested) {
  for (const char* key : {"fc_norm", "norm_before_fc"}) {
    if (config.truth_or(key, false)) {
      config.fail(std::string(key) + " is true: heads of EAGLE-3.1 cannot be used yet");
    }
  }
  if (config.truth_or("norm_output", !nested) == nested) {
    config.fail(std::string("norm_output is ") + (nested ? "true" : "false") +
                ": heads of EAGLE-3.1 cannot be used yet");
  }
  if (layer.truth_or("tie_word_embeddings", false)) {
    layer.fail(
        "tie_word_embeddings is true; a head's embedding and its output matrix are of different "
        "sizes");
  }
  if (layer.truth_or("attention_bias", false)) {
    layer.fail("attention_bias is true; a head's q, k and v have no biases");
  }
  if (layer.count_or("num_hidden_layers", 1, kMostLayers) > 1) {
    layer.wrong("num_hidden_layers", *layer.find("num_hidden_layers"), "1");
  }
}

// Two conventions differ by one: lists that begin with 1 number layers whose outputs are read,
// others those whose inputs are.
void read_state_layers(JsonMembers& place, Eagle3Config& out) {
  constexpr char kKey[] = "eagle_aux_hidden_state_layer_ids";
  const Json* list = place.find(kKey);
  if (list == nullptr) return;
  const auto is_layer = [](const Json& value) {
    return value.is_number_integer() && value >= 0 && value <= kMostLayers;
  };
  std::array<int, kEagle3States> layers = {};
  if (list->is_array() && list->size() == kEagle3States && std::ranges::all_of(*list, is_layer)) {
    const int shift = (*list)[0] == 1 ? 1 : 0;
    for (int i = 0; i < kEagle3States; ++i) layers[i] = (*list)[i].get<int>() + shift;
  }
  if (!(layers[0] < layers[1] && layers[1] < layers[2])) {
    return place.wrong(kKey, *list, "three ascending numbers of layers");
  }
  out.state_layers = layers;
}

}  // namespace

Result<Eagle3Config> read_eagle3_config(const Json& config, const std::string& path) {
  Status status;
  Eagle3Config out;
  JsonMembers outer(config, path, status);
  const Json* nested = outer.find("transformer_layer_config");
  if (nested != nullptr && !nested->is_object()) {
    return Error{path + ": transformer_layer_config is not an object"};
  }
  out.layer = nested != nullptr ? *nested : config;
  JsonMembers layer(out.layer, path, status);
  const Json* kind = outer.find("speculators_model_type");
  if (kind != nullptr && *kind != "eagle3") {
    outer.wrong("speculators_model_type", *kind, "\"eagle3\"");
  }
  refuse_what_is_not_computed(outer, layer, nested != nullptr);
  const int64_t hidden = layer.count("hidden_size", kMostHidden);
  out.vocab_size = layer.count("vocab_size", kMostTokens);
  out.draft_vocab_size = outer.count_or("draft_vocab_size", out.vocab_size, kMostTokens);
  out.target_hidden_size = outer.count_or("target_hidden_size", hidden, kMostHidden);
  out.normed_residual = outer.truth_or("norm_before_residual", false);
  const Json* eagle = outer.find("eagle_config");
  JsonMembers place(eagle != nullptr && eagle->is_object() ? *eagle : config, path, status);
  read_state_layers(place, out);
  if (!place.truth_or("use_aux_hidden_state", true)) {
    place.fail("use_aux_hidden_state is false; a head that reads one state is not EAGLE-3");
  }
  if (!status.ok()) return status.error();
  // What makes its one layer a Llama's, whatever a dialect calls it.
  out.layer["model_type"] = "llama";
  out.layer.erase("architectures");
  out.layer["num_hidden_layers"] = 1;
  out.layer["tie_word_embeddings"] = false;
  return out;
}

Result<Eagle3Checkpoint> Eagle3Checkpoint::open(const std::string& folder) {
  if (!SafetensorsShards::are_in(folder)) return SafetensorsShards::missing_from(folder);
  Result<SafetensorsShards> weights = SafetensorsShards::open(folder);
  if (!weights.ok()) return weights.error();
  pace();
  const Result<Json> config = read_json_object(folder + "/config.json", kMaxConfigBytes);
  if (!config.ok()) return config.error();
  pace();
  return read(*config, *std::move(weights));
}

Result<Eagle3Checkpoint> Eagle3Checkpoint::read(const Json& config, SafetensorsShards weights) {
  Eagle3Checkpoint checkpoint(std::move(weights));
  Result<Eagle3Config> read = read_eagle3_config(config, checkpoint.path() + "/config.json");
  if (!read.ok()) return read.error();
  checkpoint.config_ = *std::move(read);
  if (const Status status = checkpoint.check_tensors(); !status.ok()) return status.error();
  if (const Status status = checkpoint.read_token_map(); !status.ok()) return status.error();
  return checkpoint;
}

std::optional<std::string> Eagle3Checkpoint::stored_name(std::string_view name) const {
  std::string_view bare = name;
  if (bare.starts_with("model.")) bare.remove_prefix(6);
  std::string middle;
  constexpr std::string_view kLayer = "layers.0.";
  if (bare.starts_with(kLayer)) middle = "midlayer." + std::string(bare.substr(kLayer.size()));
  for (const std::string& candidate : {std::string(bare), middle}) {
    if (candidate.empty()) continue;
    for (const char* prefix : {"", "model."}) {
      std::string stored = prefix + candidate;
      if (!weights_.type_name(stored).empty()) return stored;
    }
  }
  return std::nullopt;
}

const TensorView* Eagle3Checkpoint::find_tensor(std::string_view name) const {
  const std::optional<std::string> stored = stored_name(name);
  return stored ? weights_.find_tensor(*stored) : nullptr;
}

std::string_view Eagle3Checkpoint::type_name(std::string_view name) const {
  const std::optional<std::string> stored = stored_name(name);
  return stored ? weights_.type_name(*stored) : std::string_view();
}

// A second layer and biases would be left out without a word.
Status Eagle3Checkpoint::check_tensors() const {
  for (const char* name : {"layers.1.self_attn.q_proj.weight", "fc.bias",
                           "layers.0.self_attn.q_proj.bias", "input_norm.weight"}) {
    if (!stored_name(name)) continue;
    return Error{path() + ": tensor " + quote(*stored_name(name), 60) +
                 " is not of an EAGLE-3 head the engine can compute: one layer, no biases"};
  }
  if (!stored_name("fc.weight")) return Error{path() + ": there is no tensor 'fc.weight'"};
  return {};
}

// d2t[i] is the target's token of the head's logit i, less i.
Status Eagle3Checkpoint::read_token_map() {
  const std::optional<std::string> stored = stored_name("d2t");
  const int64_t count = config_.draft_vocab_size;
  if (!stored) {
    if (count == config_.vocab_size) return {};
    return Error{path() + ": draft_vocab_size is " + std::to_string(count) + " of " +
                 std::to_string(config_.vocab_size) + " tokens, but there is no tensor 'd2t'"};
  }
  const Result<std::vector<int64_t>> offsets = weights_.read_int64(*stored);
  if (!offsets.ok()) return offsets.error();
  pace();
  if (std::ssize(*offsets) != count) {
    return Error{path() + ": d2t has " + std::to_string(offsets->size()) +
                 " entries; draft_vocab_size is " + std::to_string(count)};
  }
  std::vector<bool> seen(config_.vocab_size, false);
  token_of_.reserve(offsets->size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t offset = (*offsets)[i];
    const bool fits = offset >= -i && offset < config_.vocab_size - i;
    if (!fits || seen[i + offset]) {
      return Error{path() + ": d2t[" + std::to_string(i) + "] is " + std::to_string(offset) +
                   "; with its index added it must be a token below " +
                   std::to_string(config_.vocab_size) + " that no other has"};
    }
    seen[i + offset] = true;
    token_of_.push_back(static_cast<int32_t>(i + offset));
  }
  return {};
}

}  // namespace forerun
