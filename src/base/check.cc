#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace forerun {

void check_failed(const char* file, int line, const char* condition, std::string_view sentence) {
  std::fprintf(stderr, "%s:%d: CHECK(%s) failed: %.*s\n", file, line, condition,
               static_cast<int>(sentence.size()), sentence.data());
  std::abort();
}

}  // namespace forerun
