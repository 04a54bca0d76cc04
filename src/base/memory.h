#pragma once

#include <cstdint>

namespace forerun {

// The machine's physical memory.
int64_t machine_memory_bytes();

}  // namespace forerun
