#include "model_report.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "formats/quote.h"
#include "readable_bytes.h"
#include "tensor/tensor.h"
#include "text_table.h"

namespace forerun {
namespace {

std::string three_digits(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.3f", value);
  return text;
}

// Fit for a terminal, but not in quotes.
std::string plain(std::string_view text) {
  const std::string quoted = quote(text);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

double ModelReport::TypeTotal::bits_per_weight() const {
  return 8.0 * static_cast<double>(size_bytes) / static_cast<double>(num_elements);
}

ModelReport::ModelReport(ModelFacts facts) : facts_(std::move(facts)) {
  add_up_types();
  facts_.summary.emplace_back("weights", all_.num_elements);
  if (all_.num_elements > 0) {
    facts_.summary.emplace_back("bits_per_weight", all_.bits_per_weight());
  }
}

void ModelReport::add_up_types() {
  for (const ModelFacts::Tensor& tensor : facts_.tensors) {
    auto total = std::ranges::find(types_, tensor.type, &TypeTotal::type);
    if (total == types_.end()) {
      total = types_.insert(total, {tensor.type, tensor.supported, 0, 0, 0});
    }
    for (TypeTotal* sum : {&*total, &all_}) {
      sum->num_tensors += 1;
      sum->num_elements += tensor.num_elements;
      sum->size_bytes += tensor.size_bytes;
    }
  }
  std::ranges::sort(types_, std::greater{},
                    [](const TypeTotal& total) { return std::pair(total.size_bytes, total.type); });
}

std::string ModelReport::text(bool with_tensors) const {
  std::string text = quote(facts_.path, 300) + ": " + facts_.format + ", " +
                     readable_bytes(facts_.size_bytes) + ", " +
                     std::to_string(facts_.tensors.size()) + " tensors\n\nModel\n";
  TextTable model;
  for (const auto& [name, value] : facts_.summary) model.add_row({name, scalar_text(value)});
  text += model.text() + "\nTensors by type\n";

  TextTable types;
  types.add_row({"type", "tensors", "weights", "bytes", "bits/weight"});
  for (const TypeTotal& total : types_) {
    const bool any = total.num_elements > 0;
    types.add_row({std::string(total.type) + (total.supported ? "" : " (not supported)"),
                   std::to_string(total.num_tensors), std::to_string(total.num_elements),
                   readable_bytes(total.size_bytes),
                   any ? three_digits(total.bits_per_weight()) : "-"});
  }
  text += types.text(/*first_right=*/1) + "\nMetadata\n";

  TextTable metadata;
  for (const ModelFacts::Entry& entry : facts_.metadata) {
    std::vector<std::string> row = {plain(entry.key)};
    if (!entry.type.empty()) row.push_back(entry.type);
    row.push_back(entry.text);
    metadata.add_row(std::move(row));
  }
  text += metadata.text();
  if (!with_tensors) return text;

  TextTable tensors;
  for (const ModelFacts::Tensor& tensor : facts_.tensors) {
    tensors.add_row({plain(tensor.name), std::string(tensor.type), to_string(tensor.shape),
                     readable_bytes(tensor.size_bytes)});
  }
  return text + "\nTensors\n" + tensors.text();
}

Json ModelReport::json() const {
  Json report = {
      {"path", facts_.path},     {"format", facts_.format}, {"size_bytes", facts_.size_bytes},
      {"model", Json::object()}, {"types", Json::array()},  {"metadata", Json::object()},
      {"tensors", Json::array()}};
  report.update(facts_.format_fields);
  for (const auto& [name, value] : facts_.summary) report["model"][name] = value;
  for (const TypeTotal& total : types_) {
    const Json bits = total.num_elements > 0 ? Json(total.bits_per_weight()) : Json();
    report["types"].push_back({{"type", total.type},
                               {"supported", total.supported},
                               {"tensors", total.num_tensors},
                               {"weights", total.num_elements},
                               {"bytes", total.size_bytes},
                               {"bits_per_weight", bits}});
  }
  for (const ModelFacts::Entry& entry : facts_.metadata) report["metadata"][entry.key] = entry.json;
  for (const ModelFacts::Tensor& tensor : facts_.tensors) {
    report["tensors"].push_back({{"name", tensor.name},
                                 {"type", tensor.type},
                                 {"shape", tensor.shape},
                                 {"offset", tensor.offset_bytes},
                                 {"bytes", tensor.size_bytes}});
  }
  return report;
}

}  // namespace forerun
