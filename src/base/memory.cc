#include "base/memory.h"

#include <unistd.h>

namespace forerun {

int64_t machine_memory_bytes() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

}  // namespace forerun
