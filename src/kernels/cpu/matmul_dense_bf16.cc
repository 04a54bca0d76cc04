#include <immintrin.h>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/matmul_dense_inl.h"

namespace forerun {
namespace {

struct Bf16Pair {
  uint16_t values[2];
};

// vdpbf16ps: a step is a pair of inputs, 16 outputs of which are a line.
struct Bf16Product {
  using F = F32x16;
  using X = Bf16Pair;
  static constexpr int kLineSteps = 1;
  static constexpr int kSums = 24;

  static int64_t steps(int64_t columns) { return (columns + 1) / 2; }
  static const X* rows(const MatmulArgs& args) { return reinterpret_cast<const X*>(args.bf16); }
  static int64_t stride(const MatmulArgs& args) { return args.bf16_stride / 2; }

  static __m512bh broadcast(const X& x) {
    return (__m512bh)_mm512_set1_epi32(std::bit_cast<int32_t>(x));
  }
  template <int>
  static __m512bh weight(const uint8_t* line) {
    return (__m512bh)_mm512_loadu_si512(line);
  }
  static F fma(__m512bh x, __m512bh weight, F sum) { return {_mm512_dpbf16_ps(sum.v, weight, x)}; }
};

}  // namespace

void matmul_dense_bf16(const MatmulArgs& args) {
  if (args.weight->dtype() != DType::kBF16) return matmul_dense_avx512(args);
  dense_of<Bf16Product>(args);
}

}  // namespace forerun
