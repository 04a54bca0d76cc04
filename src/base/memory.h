#pragma once

#include <cstdint>
#include <string>

namespace forerun {

// Memory this process may use: the machine's physical memory, cut by the limits of its control
// groups.
int64_t machine_memory_bytes();

// The least that the groups listed in `groups_file` (as /proc/self/cgroup) and all above them,
// under `root`, may use; the largest number there is without a limit.
int64_t memory_limit_bytes(const std::string& root, const std::string& groups_file);

}  // namespace forerun
