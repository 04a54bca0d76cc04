#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "formats/tensor_source.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace forerun {

// An element type as safetensors files name it. Every name the format ever had is in the table, so
// that a file can be listed whatever it holds.
struct SafetensorsType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;  // empty: the engine cannot compute with it
};

struct SafetensorsTensor {
  std::string name;
  const SafetensorsType* type = nullptr;
  TensorView view;            // view.data is null when the type is not supported
  uint64_t offset_bytes = 0;  // from the start of the file
  uint64_t size_bytes = 0;
};

// One safetensors file, checked from its first byte to its last when it is opened: the tensors fill
// the data section without gap or overlap, and their sizes are those of their shapes. Views lie
// inside the file, or, where the file does not align a tensor to its elements, in a copy.
//
// The format (length of the header, header in JSON, data) is described in the safetensors
// library's README.
class Safetensors final : public TensorSource {
 public:
  static Result<Safetensors> open(const std::string& path);

  // Borrows `bytes`. `name` stands for the path in errors.
  static Result<Safetensors> parse(std::span<const uint8_t> bytes, std::string name);

  const std::string& path() const override { return path_; }
  uint64_t size_bytes() const { return bytes_.size(); }

  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }  // by name
  const SafetensorsTensor* find(std::string_view name) const;
  const TensorView* find_tensor(std::string_view name) const override;
  std::string_view type_name(std::string_view name) const override;
  // The elements of a one-dimensional I64 tensor that is there.
  Result<std::vector<int64_t>> read_int64(std::string_view name) const;

  // The header's "__metadata__", in the file's order.
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }

 private:
  friend class SafetensorsParser;
  Safetensors() = default;

  std::string path_;
  std::optional<MappedFile> file_;  // empty when the bytes are borrowed
  std::span<const uint8_t> bytes_;
  std::vector<SafetensorsTensor> tensors_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  Buffer copies_;  // of the tensors that are not aligned in the file
};

}  // namespace forerun
