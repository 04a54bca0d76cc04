#include "formats/gguf_value.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/check.h"
#include "formats/byte_reader.h"

namespace forerun {
namespace {

struct TypeTraits {
  std::string_view name;
  int size_bytes;
};

constexpr TypeTraits kTraits[kNumGgufValueTypes] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

const TypeTraits& traits_of(GgufValueType type) {
  const auto index = static_cast<uint32_t>(type);
  CHECK(index < kNumGgufValueTypes, "a metadata type that the reader should have refused");
  return kTraits[index];
}

// Holds every 64-bit integer, signed or not.
using WideInteger = __int128;

std::optional<WideInteger> integer_of(GgufValueType type, const uint8_t* bytes) {
  switch (type) {
    case GgufValueType::kU8:
      return load_little_endian<uint8_t>(bytes);
    case GgufValueType::kI8:
      return load_little_endian<int8_t>(bytes);
    case GgufValueType::kU16:
      return load_little_endian<uint16_t>(bytes);
    case GgufValueType::kI16:
      return load_little_endian<int16_t>(bytes);
    case GgufValueType::kU32:
      return load_little_endian<uint32_t>(bytes);
    case GgufValueType::kI32:
      return load_little_endian<int32_t>(bytes);
    case GgufValueType::kU64:
      return load_little_endian<uint64_t>(bytes);
    case GgufValueType::kI64:
      return load_little_endian<int64_t>(bytes);
    default:
      return std::nullopt;
  }
}

std::optional<double> number_of(GgufValueType type, const uint8_t* bytes) {
  if (type == GgufValueType::kF32) return load_little_endian<float>(bytes);
  if (type == GgufValueType::kF64) return load_little_endian<double>(bytes);
  const std::optional<WideInteger> integer = integer_of(type, bytes);
  if (!integer.has_value()) return std::nullopt;
  return static_cast<double>(*integer);
}

Error expected(const GgufValue& value, std::string_view wanted) {
  return Error{"is " + value.describe() + "; " + std::string(wanted) + " is expected"};
}

}  // namespace

std::string_view name_of(GgufValueType type) {
  return traits_of(type).name;
}
int size_bytes_of(GgufValueType type) {
  return traits_of(type).size_bytes;
}

std::string GgufValue::describe() const {
  if (!is_array()) return std::string(name_of(type));
  return "array of " + std::to_string(count) + " " + std::string(name_of(element_type));
}

Result<uint64_t> GgufValue::to_u64() const {
  const std::optional<WideInteger> integer = integer_of(type, bytes.data());
  if (!integer.has_value()) return expected(*this, "an unsigned integer");
  if (*integer < 0) {
    return Error{"is " + std::to_string(static_cast<int64_t>(*integer)) +
                 "; it must not be negative"};
  }
  return static_cast<uint64_t>(*integer);
}

Result<int64_t> GgufValue::to_i64() const {
  const std::optional<WideInteger> integer = integer_of(type, bytes.data());
  if (!integer.has_value()) return expected(*this, "an integer");
  if (*integer > std::numeric_limits<int64_t>::max()) {
    return Error{"is " + std::to_string(static_cast<uint64_t>(*integer)) + "; the limit is " +
                 std::to_string(std::numeric_limits<int64_t>::max())};
  }
  return static_cast<int64_t>(*integer);
}

Result<double> GgufValue::to_f64() const {
  const std::optional<double> number = number_of(type, bytes.data());
  if (!number.has_value()) return expected(*this, "a number");
  return *number;
}

Result<bool> GgufValue::to_bool() const {
  if (type != GgufValueType::kBool) return expected(*this, "a bool");
  return bytes[0] != 0;
}

Result<std::string_view> GgufValue::to_string() const {
  if (type != GgufValueType::kString) return expected(*this, "a string");
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::vector<std::string_view>> GgufValue::to_strings(uint64_t max_count) const {
  if (!is_array() || element_type != GgufValueType::kString) {
    return expected(*this, "an array of strings");
  }
  const uint64_t wanted = std::min(count, max_count);
  std::vector<std::string_view> strings;
  strings.reserve(wanted);
  ByteReader reader(bytes);
  for (uint64_t i = 0; i < wanted; ++i) {
    const Result<std::string_view> string = reader.read_string("string");
    CHECK(string.ok(), "string arrays are walked once when the file is opened");
    strings.push_back(*string);
  }
  return strings;
}

Result<std::vector<int32_t>> GgufValue::to_i32s() const {
  if (!is_array()) return expected(*this, "an array of integers");
  std::vector<int32_t> integers;
  const auto stride = static_cast<size_t>(size_bytes_of(element_type));
  for (uint64_t i = 0; i < count; ++i) {
    const auto integer = integer_of(element_type, bytes.data() + i * stride);
    if (!integer.has_value()) return expected(*this, "an array of integers");
    if (*integer < std::numeric_limits<int32_t>::min() ||
        *integer > std::numeric_limits<int32_t>::max()) {
      return Error{"has an element " + std::to_string(i) + " that does not fit in 32 bits"};
    }
    if (integers.empty()) integers.reserve(count);
    integers.push_back(static_cast<int32_t>(*integer));
  }
  return integers;
}

Result<std::vector<float>> GgufValue::to_f32s() const {
  if (!is_array()) return expected(*this, "an array of numbers");
  std::vector<float> numbers;
  const auto stride = static_cast<size_t>(size_bytes_of(element_type));
  for (uint64_t i = 0; i < count; ++i) {
    const auto number = number_of(element_type, bytes.data() + i * stride);
    if (!number.has_value()) return expected(*this, "an array of numbers");
    if (numbers.empty()) numbers.reserve(count);
    numbers.push_back(static_cast<float>(*number));
  }
  return numbers;
}

GgufValue GgufValue::element(uint64_t index) const {
  const auto stride = static_cast<size_t>(size_bytes_of(element_type));
  CHECK(is_array() && stride > 0 && index < count, "element() is for numeric arrays");
  return {element_type, element_type, 1, bytes.subspan(index * stride, stride)};
}

}  // namespace forerun
