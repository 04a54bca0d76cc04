#include "formats/safetensors_writer.h"

#include <array>
#include <bit>

#include "base/check.h"
#include "base/json.h"
#include "formats/whole_file.h"

namespace forerun {
namespace {

// The rest of the header's length field and of its JSON, so that the data starts at a multiple
// of 8.
std::string padded_header(const std::string& fields) {
  std::string header = "{" + fields + "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const auto length = std::bit_cast<std::array<char, 8>>(uint64_t{header.size()});
  return std::string(length.begin(), length.end()) + header;
}

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

void SafetensorsWriter::add_tensor(std::string_view name, DType dtype,
                                   const std::vector<int64_t>& shape,
                                   std::span<const uint8_t> data) {
  CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16,
        "safetensors files hold whole numbers of one size, no blocks");
  int64_t num_elements = 1;
  for (const int64_t dim : shape) num_elements *= dim;
  CHECK(data.size() == static_cast<size_t>(row_bytes(dtype, num_elements)),
        "a tensor's bytes are those of its shape");
  add(name, traits(dtype).name, shape, data);
}

void SafetensorsWriter::add_int64_tensor(std::string_view name, std::span<const int64_t> values) {
  add(name, "I64", {std::ssize(values)},
      {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
}

void SafetensorsWriter::add(std::string_view name, std::string_view type,
                            const std::vector<int64_t>& shape, std::span<const uint8_t> data) {
  const Json entry = {{"dtype", type},
                      {"shape", shape},
                      {"data_offsets", {data_.size(), data_.size() + data.size()}}};
  if (!header_.empty()) header_ += ",";
  header_ += Json(name).dump() + ":" + entry.dump();
  data_.insert(data_.end(), data.begin(), data.end());
}

void SafetensorsWriter::add_f32_tensor(std::string_view name, const std::vector<int64_t>& shape,
                                       std::span<const float> values) {
  add_tensor(name, DType::kF32, shape,
             {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
}

std::vector<uint8_t> SafetensorsWriter::encode() const {
  const std::string header = padded_header(header_);
  std::vector<uint8_t> bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), data_.begin(), data_.end());
  return bytes;
}

Status SafetensorsWriter::write(const std::string& path) const {
  Result<WholeFile> file = WholeFile::create(path);
  if (!file.ok()) return file.error();
  file->write(bytes_of(padded_header(header_)));
  file->write(data_);
  return file->finish();
}

}  // namespace forerun
