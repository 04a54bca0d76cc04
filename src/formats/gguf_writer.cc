#include "formats/gguf_writer.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "formats/ggml_type.h"
#include "formats/whole_file.h"

namespace forerun {
namespace {

template <typename T>
void append(std::vector<uint8_t>& bytes, T value) {
  bytes.resize(bytes.size() + sizeof(T));
  std::memcpy(bytes.data() + bytes.size() - sizeof(T), &value, sizeof(T));
}

void append_string(std::vector<uint8_t>& bytes, std::string_view text) {
  append<uint64_t>(bytes, text.size());
  bytes.insert(bytes.end(), text.begin(), text.end());
}

}  // namespace

void GgufWriter::add_entry(std::string_view key, GgufValueType type) {
  append_string(entries_, key);
  append(entries_, static_cast<uint32_t>(type));
  ++num_entries_;
}

template <typename T>
void GgufWriter::add_scalar(std::string_view key, GgufValueType type, T value) {
  add_entry(key, type);
  append(entries_, value);
}

template <typename T>
void GgufWriter::add_array(std::string_view key, GgufValueType type, std::span<const T> values) {
  add_entry(key, GgufValueType::kArray);
  append(entries_, static_cast<uint32_t>(type));
  append<uint64_t>(entries_, values.size());
  for (const T value : values) append(entries_, value);
}

void GgufWriter::add_bool(std::string_view key, bool value) {
  add_scalar<uint8_t>(key, GgufValueType::kBool, value ? 1 : 0);
}

void GgufWriter::add_u32(std::string_view key, uint32_t value) {
  add_scalar(key, GgufValueType::kU32, value);
}

void GgufWriter::add_i32(std::string_view key, int32_t value) {
  add_scalar(key, GgufValueType::kI32, value);
}

void GgufWriter::add_u64(std::string_view key, uint64_t value) {
  add_scalar(key, GgufValueType::kU64, value);
}

void GgufWriter::add_f32(std::string_view key, float value) {
  add_scalar(key, GgufValueType::kF32, value);
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  add_entry(key, GgufValueType::kString);
  append_string(entries_, value);
}

void GgufWriter::add_strings(std::string_view key, std::span<const std::string> values) {
  add_entry(key, GgufValueType::kArray);
  append(entries_, static_cast<uint32_t>(GgufValueType::kString));
  append<uint64_t>(entries_, values.size());
  for (const std::string& value : values) append_string(entries_, value);
}

void GgufWriter::add_i32s(std::string_view key, std::span<const int32_t> values) {
  add_array(key, GgufValueType::kI32, values);
}

void GgufWriter::add_f32s(std::string_view key, std::span<const float> values) {
  add_array(key, GgufValueType::kF32, values);
}

void GgufWriter::add_value(std::string_view key, const GgufValue& value) {
  add_entry(key, value.type);
  if (value.is_array()) {
    append(entries_, static_cast<uint32_t>(value.element_type));
    append(entries_, value.count);
  } else if (value.type == GgufValueType::kString) {
    append<uint64_t>(entries_, value.bytes.size());
  }
  entries_.insert(entries_.end(), value.bytes.begin(), value.bytes.end());
}

void GgufWriter::set_alignment(uint32_t alignment) {
  CHECK(std::has_single_bit(alignment), "an alignment is a power of two");
  alignment_ = alignment;
  add_u32("general.alignment", alignment);
}

void GgufWriter::add_tensor(std::string_view name, DType dtype, std::vector<int64_t> shape,
                            std::vector<uint8_t> data) {
  int64_t num_elements = 1;
  for (const int64_t dim : shape) num_elements *= dim;
  CHECK(!shape.empty() && shape.back() % traits(dtype).block_elements == 0,
        "a row is a whole number of blocks");
  CHECK(static_cast<int64_t>(data.size()) == row_bytes(dtype, num_elements),
        "the data has the shape's size");
  tensors_.push_back({std::string(name), dtype, std::move(shape), std::move(data)});
}

void GgufWriter::add_f32_tensor(std::string_view name, std::vector<int64_t> shape,
                                std::span<const float> values) {
  std::vector<uint8_t> data(values.size_bytes());
  std::memcpy(data.data(), values.data(), data.size());
  add_tensor(name, DType::kF32, std::move(shape), std::move(data));
}

std::vector<uint8_t> GgufWriter::encode_header() const {
  std::vector<uint8_t> header;
  append(header, kGgufMagic);
  append(header, version_);
  append<uint64_t>(header, tensors_.size());
  append(header, num_entries_);
  header.insert(header.end(), entries_.begin(), entries_.end());
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    append_string(header, tensor.name);
    append(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) append(header, *dim);
    append(header, ggml_type_of(tensor.dtype).id);
    append(header, offset);
    offset = aligned(offset + tensor.data.size());
  }
  header.resize(aligned(header.size()));
  return header;
}

std::vector<uint8_t> GgufWriter::encode() const {
  std::vector<uint8_t> bytes = encode_header();
  for (const Tensor& tensor : tensors_) {
    bytes.insert(bytes.end(), tensor.data.begin(), tensor.data.end());
    bytes.resize(aligned(bytes.size()));
  }
  return bytes;
}

Status GgufWriter::write(const std::string& path) const {
  Result<WholeFile> file = WholeFile::create(path);
  if (!file.ok()) return file.error();
  file->write(encode_header());
  for (const Tensor& tensor : tensors_) {
    file->write(tensor.data);
    file->write(std::vector<uint8_t>(aligned(tensor.data.size()) - tensor.data.size()));
  }
  return file->finish();
}

}  // namespace forerun
