#include "threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>

#include "aten.h"
#include "base/clock.h"

namespace forerun {

void set_num_threads(int num_threads) {
  at::set_num_threads(num_threads);
  // OpenBLAS, where it makes the products, has threads of its own.
  if (void* set = dlsym(RTLD_DEFAULT, "openblas_set_num_threads")) {
    reinterpret_cast<void (*)(int)>(set)(num_threads);
  }
}

double measure_product_rate() {
  constexpr int64_t kSize = 2048;
  constexpr int kTries = 5;
  const at::Tensor a = at::ones({kSize, kSize});
  double best = 0.0;
  for (int i = 0; i < kTries; ++i) {
    const double begin = now_seconds();
    at::matmul(a, a);
    best = std::max(best, 2.0 * kSize * kSize * kSize / (now_seconds() - begin));
  }
  return best;
}

}  // namespace forerun
