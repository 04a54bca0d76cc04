#include <algorithm>

#include "formats/quote.h"
#include "model_facts.h"

namespace forerun {
namespace {

// Arrays up to this length are shown whole.
constexpr uint64_t kShownElements = 8;
constexpr size_t kShownTextBytes = 72;

// A value that is no array.
Json scalar_json(const GgufValue& value) {
  switch (value.type) {
    case GgufValueType::kBool:
      return *value.to_bool();
    case GgufValueType::kString:
      return *value.to_string();
    case GgufValueType::kF32:
    case GgufValueType::kF64:
      return *value.to_f64();
    default:
      break;
  }
  if (const auto integer = value.to_u64(); integer.ok()) return *integer;
  return *value.to_i64();
}

std::vector<Json> first_elements(const GgufValue& array) {
  std::vector<Json> elements;
  if (array.element_type == GgufValueType::kString) {
    const auto texts = array.to_strings(kShownElements);
    return std::vector<Json>(texts->begin(), texts->end());
  }
  const uint64_t num_shown = std::min(array.count, kShownElements);
  elements.reserve(num_shown);
  for (uint64_t i = 0; i < num_shown; ++i) {
    elements.push_back(scalar_json(array.element(i)));
  }
  return elements;
}

Json value_json(const GgufValue& value) {
  if (!value.is_array()) return scalar_json(value);
  Json array = {{"element_type", name_of(value.element_type)},
                {"count", value.count},
                {"first", first_elements(value)}};
  return array;
}

std::string value_text(const GgufValue& value) {
  if (!value.is_array()) return scalar_text(scalar_json(value));
  std::string text = "[";
  for (const Json& element : first_elements(value)) {
    if (text.size() > 1) text += ", ";
    if (text.size() > kShownTextBytes) break;
    text += scalar_text(element);
  }
  if (value.count > kShownElements) text += text.ends_with(", ") ? "…" : ", …";
  return text + "]";
}

// The keys a summary is made of, in its order.
struct Fact {
  const char* name;
  const char* key;  // after the architecture's name
};
constexpr Fact kFacts[] = {{"layers", "block_count"},
                           {"d_model", "embedding_length"},
                           {"d_feed_forward", "feed_forward_length"},
                           {"heads", "attention.head_count"},
                           {"kv_heads", "attention.head_count_kv"},
                           {"d_head", "attention.key_length"},
                           {"context_tokens", "context_length"},
                           {"rope_base", "rope.freq_base"},
                           {"experts", "expert_count"},
                           {"experts_used", "expert_used_count"}};

void summarise(const Gguf& gguf, ModelFacts& facts) {
  const auto add = [&](const char* name, const std::string& key) {
    const GgufValue* value = gguf.find(key);
    if (value == nullptr) return;
    facts.summary.emplace_back(name,
                               value->is_array() ? Json(value_text(*value)) : scalar_json(*value));
  };
  const Result<std::string_view> architecture = gguf.get_string_or("general.architecture", "");
  const std::string family = architecture.ok() ? std::string(*architecture) : "";
  add("architecture", "general.architecture");
  add("name", "general.name");
  for (const Fact& fact : kFacts) add(fact.name, family + "." + fact.key);
  if (const GgufValue* tokens = gguf.find("tokenizer.ggml.tokens"); tokens != nullptr) {
    facts.summary.emplace_back("vocabulary", tokens->count);
  }
}

}  // namespace

ModelFacts facts_of(const Gguf& gguf) {
  ModelFacts facts;
  facts.path = gguf.path();
  facts.format = "GGUF version " + std::to_string(gguf.version());
  facts.size_bytes = gguf.size_bytes();
  facts.format_fields = {{"version", gguf.version()}, {"alignment", gguf.alignment()}};
  summarise(gguf, facts);
  for (const GgufEntry& entry : gguf.entries()) {
    facts.metadata.push_back({std::string(entry.key), entry.value.describe(),
                              value_text(entry.value), value_json(entry.value)});
  }
  add_tensors(gguf.tensors(), facts);
  return facts;
}

}  // namespace forerun
