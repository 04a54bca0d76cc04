#pragma once

#include <cstdint>

#include "cache/kv_pool.h"
#include "kernels/attention.h"

// For tests: recognisable contents for one slot of a page, written and read back by the layout that
// kernels/attention.h states, element by element.
namespace forerun {

inline uint64_t spread(uint64_t word) {
  word = (word ^ word >> 31) * 0x9e3779b97f4a7c15;
  return word ^ word >> 29;
}

// Calls visit(element, expected) for every element of the slot; stops at the first false.
template <typename Visit>
bool visit_slot(KvPool& pool, int page, int slot, uint64_t stamp, Visit visit) {
  const KvShape& shape = pool.shape();
  const int64_t padded = padded_head_dim(shape.head_dim);
  uint64_t state = spread(stamp + 1);
  const auto next = [&] { return state = spread(state + 1); };
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      for (int64_t d = 0; d < padded; ++d) {
        uint16_t& key = pool.keys(page, layer, head)[(d / 2 * kPageTokens + slot) * 2 + d % 2];
        uint16_t& value = pool.values(page, layer, head)[(slot / 2 * padded + d) * 2 + slot % 2];
        if (!visit(key, static_cast<uint16_t>(next()))) return false;
        if (!visit(value, static_cast<uint16_t>(next()))) return false;
      }
    }
  }
  for (size_t array = 0; array < shape.side_arrays.size(); ++array) {
    uint8_t* bytes = pool.side(page, static_cast<int>(array), slot);
    for (int64_t i = 0; i < shape.side_arrays[array].bytes_per_token; ++i) {
      if (!visit(bytes[i], static_cast<uint8_t>(next()))) return false;
    }
  }
  return true;
}

inline void write_slot(KvPool& pool, int page, int slot, uint64_t stamp) {
  visit_slot(pool, page, slot, stamp, [](auto& element, auto written) {
    element = written;
    return true;
  });
}

inline bool slot_holds(KvPool& pool, int page, int slot, uint64_t stamp) {
  return visit_slot(pool, page, slot, stamp,
                    [](const auto& element, auto expected) { return element == expected; });
}

}  // namespace forerun
