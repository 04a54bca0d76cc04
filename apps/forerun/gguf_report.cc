#include "gguf_report.h"

#include <algorithm>
#include <cstdio>

#include "formats/quote.h"
#include "readable_bytes.h"

namespace forerun {
namespace {

// Arrays up to this length are shown whole.
constexpr uint64_t kShownElements = 8;
constexpr size_t kShownTextBytes = 72;

std::string fixed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// Display columns of UTF-8 text, one per character.
size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

class TextTable final {
 public:
  void add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  // Columns from `first_right` on are aligned to the right.
  std::string text(size_t first_right = SIZE_MAX) const {
    std::string lines;
    for (const auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string padding(column_width(i) - width(row[i]), ' ');
        line += (i == 0 ? "  " : "   ") + (i >= first_right ? padding + row[i] : row[i] + padding);
      }
      lines += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return lines;
  }

 private:
  size_t column_width(size_t column) const {
    size_t widest = 0;
    for (const auto& row : rows_) {
      if (column < row.size()) widest = std::max(widest, width(row[column]));
    }
    return widest;
  }

  std::vector<std::vector<std::string>> rows_;
};

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

std::string scalar_text(const Json& value) {
  if (value.is_string()) return quote(value.get_ref<const std::string&>(), kShownTextBytes);
  if (value.is_number_float()) return fixed("%g", value.get<double>());
  return value.dump();
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

}  // namespace

double GgufReport::TypeTotal::bits_per_weight() const {
  return 8.0 * static_cast<double>(size_bytes) / static_cast<double>(num_elements);
}

GgufReport::GgufReport(const Gguf& gguf) : gguf_(gguf) {
  add_up_types();
  summarise();
}

void GgufReport::add_up_types() {
  for (const GgufTensor& tensor : gguf_.tensors()) {
    auto total = std::ranges::find(types_, tensor.type, &TypeTotal::type);
    if (total == types_.end()) total = types_.insert(total, {tensor.type, 0, 0, 0});
    const auto num_elements = static_cast<uint64_t>(tensor.view.num_elements());
    for (TypeTotal* sum : {&*total, &all_}) {
      sum->num_tensors += 1;
      sum->num_elements += num_elements;
      sum->size_bytes += tensor.size_bytes;
    }
  }
  std::ranges::sort(types_, std::greater{}, [](const TypeTotal& total) {
    return std::pair(total.size_bytes, total.type->id);
  });
}

void GgufReport::add_summary(const char* name, std::string_view key) {
  const GgufValue* value = gguf_.find(key);
  if (value == nullptr) return;
  summary_.emplace_back(name, value->is_array() ? Json(value_text(*value)) : scalar_json(*value));
}

void GgufReport::summarise() {
  const Result<std::string_view> architecture = gguf_.get_string_or("general.architecture", "");
  const std::string family = architecture.ok() ? std::string(*architecture) : "";
  add_summary("architecture", "general.architecture");
  add_summary("name", "general.name");
  struct Fact {
    const char* name;
    const char* key;
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
  for (const Fact& fact : kFacts) add_summary(fact.name, family + "." + fact.key);
  if (const GgufValue* tokens = gguf_.find("tokenizer.ggml.tokens"); tokens != nullptr) {
    summary_.emplace_back("vocabulary", tokens->count);
  }
  summary_.emplace_back("weights", all_.num_elements);
  if (all_.num_elements > 0) summary_.emplace_back("bits_per_weight", all_.bits_per_weight());
}

std::string GgufReport::text(bool with_tensors) const {
  std::string text = quote(gguf_.path(), 300) + ": GGUF version " +
                     std::to_string(gguf_.version()) + ", " + readable_bytes(gguf_.size_bytes()) +
                     ", " + std::to_string(gguf_.tensors().size()) + " tensors\n\nModel\n";
  TextTable model;
  for (const auto& [name, value] : summary_) model.add_row({name, scalar_text(value)});
  text += model.text() + "\nTensors by type\n";

  TextTable types;
  types.add_row({"type", "tensors", "weights", "bytes", "bits/weight"});
  for (const TypeTotal& total : types_) {
    const std::string supported = total.type->dtype.has_value() ? "" : " (not supported)";
    types.add_row({std::string(total.type->name) + supported, std::to_string(total.num_tensors),
                   std::to_string(total.num_elements), readable_bytes(total.size_bytes),
                   fixed("%.3f", total.bits_per_weight())});
  }
  text += types.text(/*first_right=*/1) + "\nMetadata\n";

  TextTable metadata;
  for (const GgufEntry& entry : gguf_.entries()) {
    const std::string key = quote(entry.key);
    metadata.add_row(
        {key.substr(1, key.size() - 2), entry.value.describe(), value_text(entry.value)});
  }
  text += metadata.text();
  if (!with_tensors) return text;

  TextTable tensors;
  for (const GgufTensor& tensor : gguf_.tensors()) {
    const std::string name = quote(tensor.name);
    tensors.add_row({name.substr(1, name.size() - 2), std::string(tensor.type->name),
                     to_string(tensor.view.shape), readable_bytes(tensor.size_bytes)});
  }
  return text + "\nTensors\n" + tensors.text();
}

Json GgufReport::json() const {
  Json report = {{"path", gguf_.path()},
                 {"version", gguf_.version()},
                 {"size_bytes", gguf_.size_bytes()},
                 {"alignment", gguf_.alignment()},
                 {"model", Json::object()},
                 {"types", Json::array()},
                 {"metadata", Json::object()},
                 {"tensors", Json::array()}};
  for (const auto& [name, value] : summary_) report["model"][name] = value;
  for (const TypeTotal& total : types_) {
    report["types"].push_back({{"type", total.type->name},
                               {"supported", total.type->dtype.has_value()},
                               {"tensors", total.num_tensors},
                               {"weights", total.num_elements},
                               {"bytes", total.size_bytes},
                               {"bits_per_weight", total.bits_per_weight()}});
  }
  for (const GgufEntry& entry : gguf_.entries()) {
    report["metadata"][std::string(entry.key)] = value_json(entry.value);
  }
  for (const GgufTensor& tensor : gguf_.tensors()) {
    report["tensors"].push_back({{"name", tensor.name},
                                 {"type", tensor.type->name},
                                 {"shape", tensor.view.shape},
                                 {"offset", tensor.offset_bytes},
                                 {"bytes", tensor.size_bytes}});
  }
  return report;
}

}  // namespace forerun
