#include <cmath>
#include <cstring>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_inl.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

// The definition in plain loops, 8 lanes at a time.
struct GenericOps {
  static constexpr int kLanes = 8;
  static constexpr int kMaxRows = 4;
  static constexpr int kMaxHalvedRows = 4;
  static constexpr int kMaxPairedRows = 0;
  static constexpr int kMaxPairedHalvedRows = 0;
  struct F {
    float v[kLanes];
  };
  struct I {
    int32_t v[kLanes];
  };
  struct B {
    uint8_t v[4 * kLanes];
  };

  template <class Function>
  static F each(Function function) {
    F out;
    for (int lane = 0; lane < kLanes; ++lane) out.v[lane] = function(lane);
    return out;
  }
  static F zero() { return broadcast(0.0f); }
  static F broadcast(float value) {
    return each([&](int) { return value; });
  }
  static F load(const float* p) {
    return each([&](int lane) { return p[lane]; });
  }
  static F load_f16(const uint8_t* p) {
    uint16_t halves[kLanes];
    std::memcpy(halves, p, sizeof(halves));
    return each([&](int lane) { return f16_to_f32(halves[lane]); });
  }
  static void store(float* p, const F& a) { std::memcpy(p, a.v, sizeof(a.v)); }
  static F add(const F& a, const F& b) {
    return each([&](int lane) { return a.v[lane] + b.v[lane]; });
  }
  static F mul(const F& a, const F& b) {
    return each([&](int lane) { return a.v[lane] * b.v[lane]; });
  }
  static F fma(const F& a, const F& b, const F& c) {
    return each([&](int lane) { return std::fma(a.v[lane], b.v[lane], c.v[lane]); });
  }
  static F to_float(const I& a) {
    return each([&](int lane) { return static_cast<float>(a.v[lane]); });
  }

  template <class Function>
  static I each_int(Function function) {
    I out;
    for (int lane = 0; lane < kLanes; ++lane) out.v[lane] = function(lane);
    return out;
  }
  static I load_i8(const uint8_t* p) {
    return each_int([&](int lane) { return static_cast<int32_t>(static_cast<int8_t>(p[lane])); });
  }
  template <int high>
  static I load_nibbles(const uint8_t* p) {
    return each_int([&](int lane) { return p[lane] >> (4 * high) & 15; });
  }
  static I load_nibble_pairs(const uint8_t* p) {
    return each_int([&](int lane) { return (p[lane] & 15) | (p[lane] >> 4) << 16; });
  }
  static I dot_pairs(const I& pairs, const int16_t* sums) {
    return each_int([&](int lane) {
      return (pairs.v[lane] & 0xffff) * sums[0] + (pairs.v[lane] >> 16) * sums[1];
    });
  }

  template <class Function>
  static B each_byte(Function function) {
    B out;
    for (int i = 0; i < 4 * kLanes; ++i) out.v[i] = static_cast<uint8_t>(function(i));
    return out;
  }
  static B load_bytes(const uint8_t* p) {
    return each_byte([&](int i) { return p[i]; });
  }
  template <int n>
  static B shift(const B& a) {
    return each_byte([&](int i) { return n > 0 ? a.v[i] << n : a.v[i] >> -n; });
  }
  static B keep(const B& a, int mask) {
    return each_byte([&](int i) { return a.v[i] & mask; });
  }
  static B merge(const B& low, const B& a, int mask) {
    return each_byte([&](int i) { return low.v[i] | (a.v[i] & mask); });
  }
  static B codebook(const B& a) {
    return each_byte([&](int i) { return kCodebook[a.v[i]] + 128; });
  }

  template <DType dtype, int kFirst, int kCount, int kRows, int kPanels>
  static void add_dots(const uint8_t* planes, int64_t /*panel_bytes*/, const int8_t* x,
                       int64_t stride, I (&dot)[kPanels][kRows]) {
    static_assert(kPanels == 1);
    int16_t levels[kLanes][4 * kCount];
    unrolled<kCount>([&](auto quad) {
      const B bytes = weight_bytes<GenericOps, dtype, kFirst + quad>(planes);
      for (int i = 0; i < 4 * kLanes; ++i) {
        levels[i / 4][4 * quad + i % 4] = static_cast<int16_t>(bytes.v[i] - Quant<dtype>::kOffset);
      }
    });
    for (int r = 0; r < kRows; ++r) {
      const int8_t* inputs = x + r * stride + 4 * kFirst;
      dot[0][r] = each_int([&](int lane) {
        int32_t acc = dot[0][r].v[lane];
        for (int i = 0; i < 4 * kCount; ++i) acc += levels[lane][i] * inputs[i];
        return acc;
      });
    }
  }

  template <DType>
  static I start(int32_t /*sum*/) {
    return each_int([](int) { return 0; });  // add_dots reads levels, not their unsigned form
  }
};

}  // namespace

void matmul_generic(const MatmulArgs& args) {
  matmul_with<GenericOps>(args);
}

}  // namespace forerun
