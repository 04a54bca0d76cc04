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
  static constexpr int kMaxPairedRows = 0;
  struct F {
    float v[kLanes];
  };
  struct I {
    int32_t v[kLanes];
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

  template <DType dtype>
  struct Weights {
    explicit Weights(const uint8_t* vectors) {
      constexpr int kOffset = dtype == DType::kQ8_0 ? 128 : dtype == DType::kQ4_0 ? 8 : 0;
      for (int lane = 0; lane < kLanes; ++lane) {
        for (int i = 0; i < kBlockInputs; ++i) {
          int value;
          if constexpr (dtype == DType::kQ8_0) {
            value = vectors[i / 4 * 64 + lane * 4 + i % 4];
          } else {
            const int packed = vectors[i % 16 / 4 * 64 + lane * 4 + i % 4];
            value = i < 16 ? packed & 0x0f : packed >> 4;
          }
          unpacked[lane][i] = static_cast<int16_t>(value - kOffset);
        }
      }
    }

    I dot(const int8_t* x) const {
      I out;
      for (int lane = 0; lane < kLanes; ++lane) {
        int32_t acc = 0;
        for (int i = 0; i < kBlockInputs; ++i) acc += unpacked[lane][i] * x[i];
        out.v[lane] = acc;
      }
      return out;
    }

    int16_t unpacked[kLanes][kBlockInputs];
  };

  template <DType>
  static const I& without_offset(const I& dot, int32_t /*sum*/) {
    return dot;  // NOLINT(bugprone-return-const-ref-from-parameter): dots outlive the call
  }
};

}  // namespace

void matmul_generic(const MatmulArgs& args) {
  matmul_with<GenericOps>(args);
}

}  // namespace forerun
