#pragma once

#include <cstdint>
#include <type_traits>

#include "cache/kv_pool.h"
#include "kernels/attention.h"

// For tests: recognisable contents for one slot of a page, written and read back by the layout that
// kernels/attention.h states, element by element.
namespace forerun {

inline uint64_t spread(uint64_t word) {
  word = (word ^ word >> 31) * 0x9e3779b97f4a7c15;
  return word ^ word >> 29;
}

// Calls visit(element, expected) for every element of one head of the slot; stops at the first
// false.
template <typename Element, typename Visit>
bool visit_head(uint8_t* keys, uint8_t* values, const KvShape& shape, int slot, Visit visit) {
  const int64_t padded = padded_head_dim(shape.head_dim);
  const int64_t cell = 4 / static_cast<int64_t>(sizeof(Element));
  for (int64_t d = 0; d < padded; ++d) {
    auto* key =
        reinterpret_cast<Element*>(keys) + (d / cell * kPageTokens + slot) * cell + d % cell;
    auto* value =
        reinterpret_cast<Element*>(values) + (slot / cell * padded + d) * cell + slot % cell;
    if (!visit(*key) || !visit(*value)) return false;
  }
  if (shape.type != KvType::kInt8) return true;
  const int64_t scales = kPageTokens * padded;
  return visit(reinterpret_cast<uint32_t*>(keys + scales)[slot]) &&
         visit(reinterpret_cast<uint32_t*>(values + scales)[slot]);
}

// The same for the whole slot.
template <typename Visit>
bool visit_slot(KvPool& pool, int page, int slot, uint64_t stamp, Visit visit) {
  const KvShape& shape = pool.shape();
  uint64_t state = spread(stamp + 1);
  const auto next = [&] { return state = spread(state + 1); };
  const auto visit_next = [&](auto& element) {
    return visit(element, static_cast<std::remove_reference_t<decltype(element)>>(next()));
  };
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      uint8_t* keys = pool.keys(page, layer, head);
      uint8_t* values = pool.values(page, layer, head);
      const bool goes_on = shape.type == KvType::kInt8
                               ? visit_head<uint8_t>(keys, values, shape, slot, visit_next)
                               : visit_head<uint16_t>(keys, values, shape, slot, visit_next);
      if (!goes_on) return false;
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
