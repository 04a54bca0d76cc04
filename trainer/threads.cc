#include "threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

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

}  // namespace forerun
