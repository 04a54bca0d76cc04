#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/cgroup.h"

namespace forerun {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// "max", or what does not parse, is none.
int64_t limit_in(const std::string& line) {
  int64_t bytes = kNoLimit;
  std::from_chars(line.data(), line.data() + line.size(), bytes);
  return bytes > 0 ? bytes : kNoLimit;
}

}  // namespace

int64_t machine_memory_bytes() {
  const int64_t physical = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return std::min(physical, memory_limit_bytes(kCgroupRoot, kCgroupsOfThisProcess));
}

int64_t memory_limit_bytes(const std::string& root, const std::string& groups_file) {
  int64_t limit = kNoLimit;
  for (const std::string& folder : cgroup_folders(root, groups_file, "memory")) {
    // Version 2, version 1.
    for (const char* file : {"/memory.max", "/memory.limit_in_bytes"}) {
      limit = std::min(limit, limit_in(first_line(folder + file)));
    }
  }
  return limit;
}

}  // namespace forerun
