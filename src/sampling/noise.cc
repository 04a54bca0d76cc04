#include "sampling/noise.h"

#include "base/philox.h"
#include "sampling/elementary.h"
#include "sampling/lanes_generic.h"

namespace forerun {

uint32_t noise_bits(const NoiseKey& key, int32_t token_id) {
  const auto id = static_cast<uint32_t>(token_id);
  const std::array<uint32_t, 4> counter = {id / 64 * 16 + id % 16, key.position, key.choice_id,
                                           kSamplingNoiseDomain};
  const std::array<uint32_t, 2> seed = {static_cast<uint32_t>(key.seed),
                                        static_cast<uint32_t>(key.seed >> 32)};
  return philox(counter, seed)[id / 16 % 4];
}

float gumbel_noise(const NoiseKey& key, int32_t token_id) {
  return gumbel<GenericLanes>(noise_bits(key, token_id));
}

}  // namespace forerun
