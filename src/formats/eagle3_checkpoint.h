#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/safetensors_shards.h"
#include "formats/tensor_source.h"

namespace forerun {

constexpr int kEagle3States = 3;  // layers of the target whose inputs a head reads

// What the config.json of an EAGLE-3 head says, in whichever of its dialects: SpecForge's and
// SafeAILab's (a Llama's config with draft_vocab_size), vLLM's (the same and norm_before_residual)
// or speculators' (the Llama's config nested).
struct Eagle3Config {
  Json layer;                      // a Llama's config, of one layer
  int64_t vocab_size = 0;          // of the target
  int64_t draft_vocab_size = 0;    // of the head's logits; vocab_size where the file does not say
  int64_t target_hidden_size = 0;  // of one of the three states
  bool normed_residual = false;    // norm_before_residual
  // Layers of the target whose inputs are read; none: the usual three.
  std::optional<std::array<int, kEagle3States>> state_layers;
};

// An Error names the key and what the engine needs. `path` stands in errors.
Result<Eagle3Config> read_eagle3_config(const Json& config, const std::string& path);

// An EAGLE-3 head on disk: its tensors under the names of a Llama's in Hugging Face's files,
// whichever of the dialects wrote them ("midlayer." or "layers.0.", with or without "model."), and
// besides "fc.weight", [hidden, 3 · target's hidden].
class Eagle3Checkpoint final : public TensorSource {
 public:
  static Result<Eagle3Checkpoint> open(const std::string& folder);
  // From a file that is open already and the text beside it.
  static Result<Eagle3Checkpoint> read(const Json& config, SafetensorsShards weights);

  const Eagle3Config& config() const { return config_; }
  const std::string& path() const override { return weights_.path(); }
  const TensorView* find_tensor(std::string_view name) const override;
  std::string_view type_name(std::string_view name) const override;

  // The target's token of each of the head's logits; empty: the same ids.
  const std::vector<int32_t>& token_of() const { return token_of_; }

 private:
  explicit Eagle3Checkpoint(SafetensorsShards weights) : weights_(std::move(weights)) {}
  std::optional<std::string> stored_name(std::string_view name) const;
  Status read_token_map();
  Status check_tensors() const;

  SafetensorsShards weights_;
  Eagle3Config config_;
  std::vector<int32_t> token_of_;
};

}  // namespace forerun
