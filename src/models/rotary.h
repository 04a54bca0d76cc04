#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"

namespace forerun {

// The rotation of queries and keys, ready to use. Pair i of a head, its elements i and
// i + rotated() / 2, turns by position · inverse_frequencies[i]; elements from rotated() on stay.
struct RotaryEmbedding {
  std::vector<float> inverse_frequencies;  // [rotated() / 2], radians
  float attention_factor = 1.0f;           // multiplies every cosine and sine

  int64_t rotated() const { return 2 * static_cast<int64_t>(inverse_frequencies.size()); }
  bool operator==(const RotaryEmbedding&) const = default;
};

// How the frequencies of a longer context follow from those that were trained.
enum class RotaryScaling : uint8_t {
  kNone,
  kLinear,    // all divided by `factor`
  kLlama3,    // long wavelengths divided by `factor`, short ones kept, between them interpolated
  kYarn,      // the same over the pairs that turn beta_slow … beta_fast times in original_context
  kDivisors,  // each divided by its own divisor (Llama-3 in GGUF, longrope) and by `factor`
};

// What files say about a rotation.
struct RotaryParameters {
  double theta = 10000.0;
  int64_t rotated = 0;  // elements of a head, even
  RotaryScaling scaling = RotaryScaling::kNone;
  double factor = 1.0;
  double original_context = 0.0;  // kLlama3 and kYarn
  double low_frequency_factor = 1.0;
  double high_frequency_factor = 4.0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  bool truncate = true;             // kYarn: the edges of its range are whole pairs
  std::vector<float> divisors;      // [rotated / 2]
  std::optional<double> attention;  // the attention factor; else 1, with kYarn 1 + ln(factor) / 10
};

// An Error names a number that is out of range.
Result<RotaryEmbedding> make_rotary(const RotaryParameters& parameters);

}  // namespace forerun
