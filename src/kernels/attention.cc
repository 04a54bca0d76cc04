#include "kernels/attention.h"

#include <cstring>

namespace forerun {

void copy_page_slot(const uint16_t* from_keys, const uint16_t* from_values, int64_t from_slot,
                    uint16_t* to_keys, uint16_t* to_values, int64_t to_slot, int64_t head_dim) {
  const int64_t padded = padded_head_dim(head_dim);
  for (int64_t pair = 0; pair < padded / 2; ++pair) {
    std::memcpy(to_keys + (pair * kPageTokens + to_slot) * 2,
                from_keys + (pair * kPageTokens + from_slot) * 2, 2 * sizeof(uint16_t));
  }
  from_values += from_slot / 2 * padded * 2 + from_slot % 2;
  to_values += to_slot / 2 * padded * 2 + to_slot % 2;
  for (int64_t d = 0; d < padded; ++d) to_values[d * 2] = from_values[d * 2];
}

}  // namespace forerun
