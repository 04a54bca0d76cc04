#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "formats/ggml_type.h"
#include "formats/gguf_value.h"
#include "formats/tensor_source.h"
#include "tensor/tensor.h"

namespace forerun {

struct GgufTensor {
  std::string name;
  const GgmlType* type = nullptr;
  TensorView view;  // shape outermost first; view.data is null when the type is not supported
  uint64_t offset_bytes = 0;  // from the start of the file, or of that part of it
  uint64_t size_bytes = 0;
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

// Whether a tensor of a type the engine cannot compute with is an Error. Listing a file needs no
// computing.
enum class GgufTypes : uint8_t { kSupported, kAny };

// A GGUF file, version 2 or 3, little-endian, checked from its first byte to the end of its last
// tensor when it is opened: afterwards every view lies inside the file. Everything is a view of the
// file's bytes; copies of views live no longer than this object.
//
// A split file is one Gguf: the keys of its first part, the tensors of all (gguf_parts.h).
//
// The format (magic, version, counts, metadata, tensor infos, padding, data) is described in ggml's
// docs/gguf.md.
class Gguf final : public TensorSource {
 public:
  static Result<Gguf> open(const std::string& path, GgufTypes types = GgufTypes::kSupported);

  // Borrows `bytes`, which must be aligned to 8 bytes if tensors are to be. `name` stands for the
  // path in errors.
  static Result<Gguf> parse(std::span<const uint8_t> bytes, std::string name,
                            GgufTypes types = GgufTypes::kSupported);

  const std::string& path() const override { return path_; }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  uint64_t size_bytes() const { return size_bytes_; }  // of all parts

  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in the file's order
  const GgufTensor* find_info(std::string_view name) const;
  const TensorView* find_tensor(std::string_view name) const override;
  std::string_view type_name(std::string_view name) const override;

  const std::vector<GgufEntry>& entries() const { return entries_; }  // in the file's order
  const GgufValue* find(std::string_view key) const;

  // Each Error names the file and the key, and says that it is missing or what it is instead.
  Result<uint64_t> get_u64(std::string_view key) const;
  Result<double> get_f64(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<std::vector<std::string_view>> get_strings(std::string_view key) const;
  Result<std::vector<int32_t>> get_i32s(std::string_view key) const;
  Result<std::vector<float>> get_f32s(std::string_view key) const;

  // A missing key is the default; a wrong type is still an Error.
  Result<uint64_t> get_u64_or(std::string_view key, uint64_t otherwise) const;
  Result<double> get_f64_or(std::string_view key, double otherwise) const;
  Result<bool> get_bool_or(std::string_view key, bool otherwise) const;
  Result<std::string_view> get_string_or(std::string_view key, std::string_view otherwise) const;

 private:
  friend class GgufParser;
  friend class GgufParts;
  Gguf() = default;

  template <typename T>
  Result<T> get(std::string_view key, Result<T> (*convert)(const GgufValue&)) const;
  Status index_tensors();

  std::string path_;
  std::vector<MappedFile> files_;  // none when the bytes are borrowed, several of a split file
  uint64_t size_bytes_ = 0;
  uint32_t version_ = 0;
  uint64_t alignment_ = 0;
  std::vector<GgufEntry> entries_;
  std::vector<GgufTensor> tensors_;
  std::vector<uint32_t> entries_by_key_;   // indices into entries_, sorted by key
  std::vector<uint32_t> tensors_by_name_;  // indices into tensors_, sorted by name
};

}  // namespace forerun
