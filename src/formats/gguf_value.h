#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace forerun {

constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF" as a little-endian number

enum class GgufValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
constexpr uint32_t kNumGgufValueTypes = 13;

std::string_view name_of(GgufValueType type);

// Bytes of one value; 0 for strings and arrays, whose size is written before them.
int size_bytes_of(GgufValueType type);

// A metadata value, kept as the file's own bytes (checked once, decoded when asked for): a
// vocabulary of any size costs nothing until it is used.
struct GgufValue {
  GgufValueType type = GgufValueType::kU8;
  GgufValueType element_type = GgufValueType::kU8;  // of an array
  uint64_t count = 1;                               // elements of an array
  std::span<const uint8_t> bytes;  // the value; a string's text; an array's elements in a row

  bool is_array() const { return type == GgufValueType::kArray; }
  std::string describe() const;  // "u32", "array of 49152 string"

  // Conversions take any type that holds the value without loss (an i32 that is not negative is a
  // u64); the Error says what the value is instead, without naming the key.
  Result<uint64_t> to_u64() const;
  Result<int64_t> to_i64() const;
  Result<double> to_f64() const;
  Result<bool> to_bool() const;
  Result<std::string_view> to_string() const;
  Result<std::vector<std::string_view>> to_strings(uint64_t max_count = UINT64_MAX) const;
  Result<std::vector<int32_t>> to_i32s() const;
  Result<std::vector<float>> to_f32s() const;

  // Element `index` of a numeric array as a value of its own; index < count.
  GgufValue element(uint64_t index) const;
};

}  // namespace forerun
