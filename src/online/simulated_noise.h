#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>

namespace forerun {

// Noise for the simulations of this folder's tests: the same on every machine, as the distributions
// of <random> are not.
class SimulatedNoise {
 public:
  explicit SimulatedNoise(uint64_t seed) : bits_(seed) {}
  double uniform() { return (static_cast<double>(bits_() >> 11) + 0.5) * 0x1p-53; }
  double normal() {
    return std::sqrt(-2.0 * std::log(uniform())) * std::cos(2.0 * std::numbers::pi * uniform());
  }
  double exponential() { return -std::log(uniform()); }

 private:
  std::mt19937_64 bits_;
};

}  // namespace forerun
