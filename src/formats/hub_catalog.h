#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace forerun {

// A model that goes by a short name: one member of a published Python package.
struct HubModel {
  std::string name;
  std::string package;
  std::string version;
  std::string member;  // path inside the package's wheel
  std::string sha256;  // of the member
  uint64_t size_bytes = 0;

  std::string file_name() const { return member.substr(member.rfind('/') + 1); }
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
