#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf_value.h"
#include "tensor/dtype.h"

namespace forerun {

// Makes GGUF files, version 3 unless told otherwise. Keys and tensors are written in the order they
// were added; names are not checked for being there twice, which lets tests write such files.
class GgufWriter final {
 public:
  explicit GgufWriter(uint32_t version = 3) : version_(version) {}

  void add_bool(std::string_view key, bool value);
  void add_u32(std::string_view key, uint32_t value);
  void add_i32(std::string_view key, int32_t value);
  void add_u64(std::string_view key, uint64_t value);
  void add_f32(std::string_view key, float value);
  void add_string(std::string_view key, std::string_view value);
  void add_strings(std::string_view key, std::span<const std::string> values);
  void add_i32s(std::string_view key, std::span<const int32_t> values);
  void add_f32s(std::string_view key, std::span<const float> values);

  // A value in the file's own bytes (for a string without its length): copies an entry from
  // another file.
  void add_value(std::string_view key, const GgufValue& value);

  // Writes the key general.alignment as well; a power of two.
  void set_alignment(uint32_t alignment);

  // `shape` outermost first; `data` as the dtype stores it, of exactly the shape's size.
  void add_tensor(std::string_view name, DType dtype, std::vector<int64_t> shape,
                  std::vector<uint8_t> data);
  void add_f32_tensor(std::string_view name, std::vector<int64_t> shape,
                      std::span<const float> values);

  // The whole file.
  std::vector<uint8_t> encode() const;

  // Writes beside `path` first and renames, so that a file of that name is always whole.
  Status write(const std::string& path) const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    std::vector<uint8_t> data;
  };

  void add_entry(std::string_view key, GgufValueType type);
  template <typename T>
  void add_scalar(std::string_view key, GgufValueType type, T value);
  template <typename T>
  void add_array(std::string_view key, GgufValueType type, std::span<const T> values);
  std::vector<uint8_t> encode_header() const;
  uint64_t aligned(uint64_t offset) const { return (offset + alignment_ - 1) & ~(alignment_ - 1); }

  uint32_t version_;
  uint64_t alignment_ = 32;
  uint64_t num_entries_ = 0;
  std::vector<uint8_t> entries_;  // encoded
  std::vector<Tensor> tensors_;
};

}  // namespace forerun
