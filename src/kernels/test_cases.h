// What the op tests of this folder share: random operands, the variants of the product, and bitwise
// comparison.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/backends.h"
#include "kernels/isa.h"
#include "kernels/kernel_table.h"

namespace forerun {

// The same operands on every machine and standard library.
class Random final {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  int integer(int low, int high) {
    return low + static_cast<int>(engine_() % static_cast<uint32_t>(high - low + 1));
  }
  float uniform(float low, float high) {
    return low + (static_cast<float>(engine_() >> 8) * 0x1p-24f) * (high - low);
  }
  std::vector<float> floats(int64_t count, float low, float high) {
    std::vector<float> out(count);
    for (float& value : out) value = uniform(low, high);
    return out;
  }

 private:
  std::mt19937 engine_;
};

// Equal bits, or both NaN: the payload of a NaN is nobody's promise.
inline bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

// The first place where two rows differ in a bit.
inline testing::AssertionResult same_bits(const float* actual, const float* expected,
                                          int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!same_bits(actual[i], expected[i])) {
      return testing::AssertionFailure()
             << "element " << i << " is " << actual[i] << ", not " << expected[i];
    }
  }
  return testing::AssertionSuccess();
}

// How matmul.h lets BF16 weights be multiplied.
enum class Bf16Form { kFloats, kPairs, kTiles };
constexpr Bf16Form kBf16Forms[] = {Bf16Form::kFloats, Bf16Form::kPairs, Bf16Form::kTiles};

struct MatmulVariant {
  std::string name;
  MatmulFunction function;
  Bf16Form bf16;
};

inline Bf16Form bf16_form(Isa isa) {
  if (!kernel_table(isa).bf16_products) return Bf16Form::kFloats;
  return isa == Isa::kAmx ? Bf16Form::kTiles : Bf16Form::kPairs;
}

// Every product this machine can run, and the tile form with its unit emulated, which is how the
// AMX product is tested without one.
inline std::vector<MatmulVariant> matmul_variants() {
  std::vector<MatmulVariant> variants;
  for (const Isa isa : available_isas()) {
    variants.push_back({std::string(isa_name(isa)), kernel_table(isa).matmul, bf16_form(isa)});
    if (isa == Isa::kAvx512) {
      variants.push_back({"emulated_tiles", matmul_emulated_tiles, Bf16Form::kTiles});
    }
  }
  return variants;
}

inline std::string isa_test_name(const testing::TestParamInfo<Isa>& info) {
  return std::string(isa_name(info.param));
}

}  // namespace forerun
