#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "formats/gguf.h"

namespace forerun {

// What is in a GGUF file, for people (a text) and for programs (JSON).
class GgufReport final {
 public:
  explicit GgufReport(const Gguf& gguf);

  struct TypeTotal {
    const GgmlType* type;
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
  void summarise();
  void add_summary(const char* name, std::string_view key);

  const Gguf& gguf_;
  std::vector<TypeTotal> types_;  // largest first
  TypeTotal all_{nullptr, 0, 0, 0};
  std::vector<std::pair<std::string, Json>> summary_;
};

}  // namespace forerun
