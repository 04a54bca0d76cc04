#include "base/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/cgroup.h"
#include "base/pacer.h"

namespace forerun {
namespace {

// A large page that goes in parts would first be split.
constexpr size_t kLargePage = size_t{2} << 20;

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

void unmap(void* data, size_t size_bytes) {
  auto* begin = static_cast<uint8_t*>(data);
  uint8_t* const end = begin + size_bytes;
  while (is_paced() && begin < end) {
    const size_t to_large_page = kLargePage - reinterpret_cast<uintptr_t>(begin) % kLargePage;
    const size_t piece = std::min(to_large_page, static_cast<size_t>(end - begin));
    munmap(begin, piece);
    begin += piece;
    pace();
  }
  if (begin < end) munmap(begin, static_cast<size_t>(end - begin));
}

}  // namespace forerun
