#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

static_assert(std::endian::native == std::endian::little,
              "the file formats are little-endian and are read in place");

template <typename T>
T load_little_endian(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// Walks over bytes that may come from a stranger: every step is held against what is left, and an
// Error names the field, the offset, what it wanted and what there was.
class ByteReader final {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  uint64_t offset() const { return offset_; }
  uint64_t left() const { return bytes_.size() - offset_; }

  template <typename T>
  Result<T> read(std::string_view field) {
    if (left() < sizeof(T)) return cut_short(field, sizeof(T));
    const T value = load_little_endian<T>(bytes_.data() + offset_);
    offset_ += sizeof(T);
    return value;
  }

  Result<std::span<const uint8_t>> read_bytes(std::string_view field, uint64_t size_bytes) {
    if (left() < size_bytes) return cut_short(field, size_bytes);
    const auto taken = bytes_.subspan(offset_, size_bytes);
    offset_ += size_bytes;
    return taken;
  }

  // A 64-bit length, then that many bytes.
  Result<std::string_view> read_string(std::string_view field) {
    const Result<uint64_t> length = read<uint64_t>(field);
    if (!length.ok()) return length.error();
    const auto bytes = read_bytes(field, *length);
    if (!bytes.ok()) return bytes.error();
    return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }

 private:
  Error cut_short(std::string_view field, uint64_t wanted_bytes) const {
    return Error{std::string(field) + " at offset " + std::to_string(offset_) + " needs " +
                 std::to_string(wanted_bytes) + " bytes, but the file has only " +
                 std::to_string(left()) + " left"};
  }

  std::span<const uint8_t> bytes_;
  uint64_t offset_ = 0;
};

}  // namespace forerun
