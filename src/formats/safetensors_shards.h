#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/safetensors.h"
#include "formats/tensor_source.h"

namespace forerun {

// Which file of its folder each tensor is in, as `model.safetensors.index.json` says. An Error
// names an entry that is no plain file name ending in ".safetensors": shards do not leave their
// folder.
Result<std::map<std::string, std::string, std::less<>>> read_weight_map(const Json& index);

// The weights of a Hugging Face directory: `model.safetensors`, or the shards that
// `model.safetensors.index.json` names (where both are there, the first, as transformers has it).
class SafetensorsShards final : public TensorSource {
 public:
  static Result<SafetensorsShards> open(const std::string& folder);
  // Of one file that is open.
  static SafetensorsShards of(Safetensors file);
  // Whether a folder has files of the names that open() reads, and what to say of one that has not.
  static bool are_in(const std::string& folder);
  static Error missing_from(const std::string& folder);

  const std::string& path() const override { return folder_; }
  const TensorView* find_tensor(std::string_view name) const override;
  std::string_view type_name(std::string_view name) const override;

  // The elements of a one-dimensional I64 tensor that is there.
  Result<std::vector<int64_t>> read_int64(std::string_view name) const;

  const std::vector<Safetensors>& files() const { return files_; }
  uint64_t size_bytes() const;

 private:
  explicit SafetensorsShards(std::string folder) : folder_(std::move(folder)) {}
  Status open_shards(const std::string& index_path);
  Status open_file(const std::string& name);
  Status place(const std::string& tensor, const std::string& file, size_t file_index);
  const SafetensorsTensor* find(std::string_view name) const;

  std::string folder_;
  std::vector<Safetensors> files_;
  std::map<std::string, size_t, std::less<>> file_of_tensor_;  // index into files_; only of shards
};

}  // namespace forerun
