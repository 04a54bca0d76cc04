#include "product_type.h"

#include <algorithm>

#include "base/clock.h"
#include "kernels/isa.h"

namespace forerun {
namespace {

// About as large as a batch's products are; some 10 ms each.
constexpr int64_t kTriedSize = 512;
// What it costs to round operands, and the noise of measuring, weigh against it.
constexpr double kLeastGain = 1.25;

}  // namespace

bool uses_bf16(ProductType type) {
  if (type != ProductType::kAuto) return type == ProductType::kBf16;
  return has_bf16_dot() && measure_product_rate(at::kBFloat16, kTriedSize) >
                               kLeastGain * measure_product_rate(at::kFloat, kTriedSize);
}

double measure_product_rate(at::ScalarType type, int64_t size) {
  constexpr int kTries = 5;
  const at::Tensor a = at::ones({size, size}, type);
  const double operations = 2.0 * static_cast<double>(size * size * size);
  double best = 0.0;
  for (int i = 0; i < kTries; ++i) {
    const double begin = now_seconds();
    at::matmul(a, a);
    best = std::max(best, operations / (now_seconds() - begin));
  }
  return best;
}

}  // namespace forerun
