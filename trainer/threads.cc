#include "threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

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

void give_way(bool wholly) {
  constexpr int kNiceness = 5;
  std::error_code ignored;
  for (std::filesystem::directory_iterator it("/proc/self/task", ignored), end; it != end;
       it.increment(ignored)) {
    const int thread = std::atoi(it->path().filename().c_str());
    const sched_param none = {};
    if (wholly && sched_setscheduler(thread, SCHED_IDLE, &none) == 0) continue;
    const auto id = static_cast<id_t>(thread);
    setpriority(PRIO_PROCESS, id, std::max(getpriority(PRIO_PROCESS, id), kNiceness));
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
