#include <cstdio>
#include <utility>

#include "formats/quote.h"
#include "model_facts.h"

namespace forerun {
namespace {

constexpr size_t kShownTextBytes = 72;

// A summary's name for a config.json key, in the summary's order; the same names as a GGUF's.
struct Fact {
  const char* name;
  const char* key;
};
constexpr Fact kFacts[] = {
    {"architecture", "model_type"},   {"layers", "num_hidden_layers"},
    {"d_model", "hidden_size"},       {"d_feed_forward", "intermediate_size"},
    {"heads", "num_attention_heads"}, {"kv_heads", "num_key_value_heads"},
    {"d_head", "head_dim"},           {"context_tokens", "max_position_embeddings"},
    {"rope_base", "rope_theta"},      {"vocabulary", "vocab_size"}};

std::string json_text(const Json& value) {
  if (value.is_primitive()) return scalar_text(value);
  const std::string text = quote(
      value.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace), kShownTextBytes);
  return text.substr(1, text.size() - 2);
}

void add_config(const std::string& file, const Json& config, ModelFacts& facts) {
  const std::string prefix = file + ": ";
  for (const auto& [key, value] : config.items()) {
    facts.metadata.push_back({prefix + key, "", json_text(value), value});
  }
}

}  // namespace

std::string scalar_text(const Json& value) {
  if (value.is_string()) return quote(value.get_ref<const std::string&>(), kShownTextBytes);
  if (!value.is_number_float()) return value.dump();
  char text[64];
  std::snprintf(text, sizeof(text), "%g", value.get<double>());
  return text;
}

ModelFacts facts_of(const Safetensors& file) {
  ModelFacts facts;
  facts.path = file.path();
  facts.format = "safetensors";
  facts.size_bytes = file.size_bytes();
  for (const auto& [key, value] : file.metadata()) {
    facts.metadata.push_back({key, "", quote(value, kShownTextBytes), value});
  }
  add_tensors(file.tensors(), facts);
  return facts;
}

ModelFacts facts_of(const HfDirectory& directory) {
  ModelFacts facts;
  facts.path = directory.path();
  const std::vector<Safetensors>& files = directory.weights().files();
  facts.format = "Hugging Face directory, " + std::to_string(files.size()) +
                 (files.size() == 1 ? " file of weights" : " files of weights");
  facts.size_bytes = directory.weights().size_bytes();
  for (const Fact& fact : kFacts) {
    const auto value = directory.config().find(fact.key);
    if (value == directory.config().end()) continue;
    facts.summary.emplace_back(fact.name, value->is_primitive() ? *value : Json(json_text(*value)));
  }
  add_config("config.json", directory.config(), facts);
  add_config("generation_config.json", directory.generation_config(), facts);
  for (const Safetensors& file : files) add_tensors(file.tensors(), facts);
  return facts;
}

}  // namespace forerun
