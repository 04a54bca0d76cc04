#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace forerun {

// Makes safetensors files: tensors in the order they were added, the data aligned to 8 bytes. Names
// are not checked for being there twice, which lets tests write such files.
class SafetensorsWriter final {
 public:
  // F32, F16 or BF16; `shape` outermost first; `data` of exactly the shape's size.
  void add_tensor(std::string_view name, DType dtype, const std::vector<int64_t>& shape,
                  std::span<const uint8_t> data);
  void add_f32_tensor(std::string_view name, const std::vector<int64_t>& shape,
                      std::span<const float> values);

  void add_int64_tensor(std::string_view name, std::span<const int64_t> values);

  // The whole file.
  std::vector<uint8_t> encode() const;

  // Writes beside `path` first and renames, so that a file of that name is always whole.
  Status write(const std::string& path) const;

 private:
  void add(std::string_view name, std::string_view type, const std::vector<int64_t>& shape,
           std::span<const uint8_t> data);

  std::string header_;  // JSON of the tensors so far, without the closing brace
  std::vector<uint8_t> data_;
};

}  // namespace forerun
