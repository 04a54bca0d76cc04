#pragma once

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string>

namespace forerun {

// 16 lower-case hexadecimal digits, as fingerprints are told.
inline std::string hex(uint64_t number) {
  std::array<char, 17> digits;
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, number);
  return digits.data();
}

}  // namespace forerun
