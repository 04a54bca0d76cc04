#include "kernels/attention.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace forerun {
namespace {

constexpr std::string_view kKvTypeNames[] = {"f16", "bf16", "int8"};
constexpr int64_t kCellBytes = 4;

// The bytes of a position's element of dimension 0; the next dimension is a cell further.
int64_t value_offset(KvType type, int64_t slot, int64_t padded) {
  const int64_t cell = elements_per_cell(type);
  return slot / cell * padded * kCellBytes + slot % cell * element_bytes(type);
}

void copy_value(KvType type, const uint8_t* from, uint8_t* to, int64_t padded) {
  const int64_t bytes = element_bytes(type);
  for (int64_t d = 0; d < padded; ++d) {
    std::memcpy(to + d * kCellBytes, from + d * kCellBytes, bytes);
  }
}

// Of slots [from_slot, from_slot + count), keys and values.
void copy_scales(const uint8_t* from, int64_t from_slot, uint8_t* to, int64_t to_slot,
                 int64_t count, int64_t head_dim) {
  std::memcpy(to + scales_offset(head_dim) + to_slot * sizeof(float),
              from + scales_offset(head_dim) + from_slot * sizeof(float), count * sizeof(float));
}

}  // namespace

std::string_view kv_type_name(KvType type) {
  return kKvTypeNames[static_cast<size_t>(type)];
}

Result<KvType> parse_kv_type(std::string_view name) {
  for (const KvType type : kKvTypes) {
    if (kv_type_name(type) == name) return type;
  }
  return Error{"the type of keys and values is " + std::string(name) +
               "; it must be f16, bf16 or int8"};
}

void copy_page_slot(KvType type, const uint8_t* from_keys, const uint8_t* from_values,
                    int64_t from_slot, uint8_t* to_keys, uint8_t* to_values, int64_t to_slot,
                    int64_t head_dim) {
  const int64_t padded = padded_head_dim(head_dim);
  for (int64_t cell = 0; cell < padded / elements_per_cell(type); ++cell) {
    std::memcpy(to_keys + (cell * kPageTokens + to_slot) * kCellBytes,
                from_keys + (cell * kPageTokens + from_slot) * kCellBytes, kCellBytes);
  }
  copy_value(type, from_values + value_offset(type, from_slot, padded),
             to_values + value_offset(type, to_slot, padded), padded);
  if (type == KvType::kInt8) {
    copy_scales(from_keys, from_slot, to_keys, to_slot, 1, head_dim);
    copy_scales(from_values, from_slot, to_values, to_slot, 1, head_dim);
  }
}

void copy_page_slots(KvType type, const uint8_t* from_keys, const uint8_t* from_values,
                     uint8_t* to_keys, uint8_t* to_values, int64_t num_slots, int64_t head_dim) {
  const int64_t padded = padded_head_dim(head_dim);
  for (int64_t cell = 0; cell < padded / elements_per_cell(type); ++cell) {
    const int64_t row = cell * kPageTokens * kCellBytes;
    std::memcpy(to_keys + row, from_keys + row, num_slots * kCellBytes);
  }
  const int64_t whole = num_slots - num_slots % elements_per_cell(type);
  std::memcpy(to_values, from_values, value_offset(type, whole, padded));
  for (int64_t slot = whole; slot < num_slots; ++slot) {
    const int64_t offset = value_offset(type, slot, padded);
    copy_value(type, from_values + offset, to_values + offset, padded);
  }
  if (type == KvType::kInt8) {
    copy_scales(from_keys, 0, to_keys, 0, num_slots, head_dim);
    copy_scales(from_values, 0, to_values, 0, num_slots, head_dim);
  }
}

}  // namespace forerun
