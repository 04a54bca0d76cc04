#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "model_facts.h"

namespace forerun {

// What is in a model's files, for people (a text) and for programs (JSON).
class ModelReport final {
 public:
  explicit ModelReport(ModelFacts facts);

  struct TypeTotal {
    std::string_view type;
    bool supported;
    uint64_t num_tensors;
    uint64_t num_elements;
    uint64_t size_bytes;

    double bits_per_weight() const;
  };

  // `with_tensors` lists each tensor too.
  std::string text(bool with_tensors) const;
  Json json() const;

 private:
  void add_up_types();

  ModelFacts facts_;
  std::vector<TypeTotal> types_;  // largest first
  TypeTotal all_{"", true, 0, 0, 0};
};

}  // namespace forerun
