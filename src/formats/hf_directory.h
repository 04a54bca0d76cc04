#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "formats/safetensors_shards.h"
#include "formats/tensor_source.h"

namespace forerun {

// The template of a `tokenizer_config.json` or `chat_template.json`: its key "chat_template", a
// string, or a list of {"name", "template"} from which the one called "default" (or the only one)
// is taken. Empty when there is none.
Result<std::string> chat_template_of(const Json& config);

// The JSON files beside the weights; empty objects where there are none.
struct HfConfigs {
  Json config = Json::object();
  Json generation_config = Json::object();
  Json tokenizer_config = Json::object();
  Json special_tokens_map = Json::object();
  // `chat_template.jinja`, else what tokenizer_config.json or chat_template.json holds; empty when
  // there is none.
  std::string chat_template = {};
};

// A model as Hugging Face lays it out in a folder: `config.json`, weights in safetensors, and what
// belongs to the tokenizer. JSON files are read when it is opened, weights are mapped.
class HfDirectory final : public TensorSource {
 public:
  // An Error names the file that is missing or wrong.
  static Result<HfDirectory> open(const std::string& path);

  const std::string& path() const override { return weights_.path(); }
  const TensorView* find_tensor(std::string_view name) const override {
    return weights_.find_tensor(name);
  }
  std::string_view type_name(std::string_view name) const override {
    return weights_.type_name(name);
  }
  const SafetensorsShards& weights() const { return weights_; }

  const HfConfigs& configs() const { return configs_; }
  const Json& config() const { return configs_.config; }
  const Json& generation_config() const { return configs_.generation_config; }
  const Json& tokenizer_config() const { return configs_.tokenizer_config; }
  const std::string& chat_template() const { return configs_.chat_template; }
  // Whether or not there is such a file.
  std::string tokenizer_json_path() const { return path() + "/tokenizer.json"; }

 private:
  explicit HfDirectory(SafetensorsShards weights) : weights_(std::move(weights)) {}
  Status read_configs();
  Status read_chat_template();

  SafetensorsShards weights_;
  HfConfigs configs_;
};

}  // namespace forerun
