#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace forerun {

// Memory this process may use: the machine's physical memory, cut by the limits of its control
// groups.
int64_t machine_memory_bytes();

// The least that the groups listed in `groups_file` (as /proc/self/cgroup) and all above them,
// under `root`, may use; the largest number there is without a limit.
int64_t memory_limit_bytes(const std::string& root, const std::string& groups_file);

// munmap() of a mapping from its begin on, which goes in pieces where the thread is paced: every
// page of it takes its time.
void unmap(void* data, size_t size_bytes);

}  // namespace forerun
