#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "formats/gguf.h"
#include "formats/hf_directory.h"
#include "formats/safetensors.h"

namespace forerun {

// What is in a model's files, whatever their format: the matter of a report (model_report.h). Views
// live no longer than the files they were taken from.
struct ModelFacts {
  struct Tensor {
    std::string_view name;
    std::string_view type;
    bool supported = true;
    std::vector<int64_t> shape;
    uint64_t num_elements = 0;
    uint64_t offset_bytes = 0;
    uint64_t size_bytes = 0;
  };
  // A metadata value, for people and for programs.
  struct Entry {
    std::string key;
    std::string type;  // "u32"; empty where the format has no types
    std::string text;
    Json json;
  };

  std::string path;
  std::string format;  // "GGUF version 3"
  uint64_t size_bytes = 0;
  Json format_fields = Json::object();  // what a program may want to know of the format
  std::vector<std::pair<std::string, Json>> summary;
  std::vector<Entry> metadata;
  std::vector<Tensor> tensors;
};

// What every format's tensors tell of themselves.
template <typename FileTensor>
void add_tensors(const std::vector<FileTensor>& tensors, ModelFacts& facts) {
  for (const FileTensor& tensor : tensors) {
    facts.tensors.push_back({.name = tensor.name,
                             .type = tensor.type->name,
                             .supported = tensor.type->dtype.has_value(),
                             .shape = tensor.view.shape,
                             .num_elements = static_cast<uint64_t>(tensor.view.num_elements()),
                             .offset_bytes = tensor.offset_bytes,
                             .size_bytes = tensor.size_bytes});
  }
}

ModelFacts facts_of(const Gguf& gguf);
ModelFacts facts_of(const Safetensors& file);
ModelFacts facts_of(const HfDirectory& directory);

// A JSON value that is no array or object, as reports show it: texts quoted and cut.
std::string scalar_text(const Json& value);

}  // namespace forerun
