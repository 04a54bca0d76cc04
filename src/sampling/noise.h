#pragma once

#include <cstdint>

namespace forerun {

// The fourth word of every counter the sampler gives Philox, so that other users of a request's
// seed draw other numbers.
constexpr uint32_t kSamplingNoiseDomain = 0x4D554753;  // "SGUM" read as bytes

// What the noise of one sampled token depends on, beside the token ids.
struct NoiseKey {
  uint64_t seed;
  uint32_t choice_id;  // which of a request's n choices
  uint32_t position;   // absolute position, prompt included, of the token being chosen
};

// The definition of the sampler's noise; the vectorised form in vocab_kernels_lanes.h agrees with
// it bit for bit on every ISA.
//
// One Philox call serves 4 tokens. Token ids are cut into blocks of 64, a block into 4 words of 16
// lanes (a vector of 16 then holds one word of 16 calls, with nothing to shuffle):
//   key     = (low half of seed, high half of seed)
//   counter = (token_id / 64 * 16 + token_id % 16, position, choice_id, kSamplingNoiseDomain)
//   bits    = output word token_id / 16 % 4
uint32_t noise_bits(const NoiseKey& key, int32_t token_id);

// G = -log(E), E = -log(1 - u), u = (bits + 0.5) / 2^32, in float: E is never 0 or infinite, so G
// lies in [-3.14, 22.88].
float gumbel_noise(const NoiseKey& key, int32_t token_id);

}  // namespace forerun
