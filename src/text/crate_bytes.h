#pragma once

#include <forerun_text.h>

#include <string>
#include <string_view>

#include "base/result.h"

// Text on its way to the Rust crate and back.
namespace forerun {

inline const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

inline std::string take_text(ForerunBytes bytes) {
  std::string text(reinterpret_cast<const char*>(bytes.data), bytes.size);
  forerun_bytes_free(bytes);
  return text;
}

inline Error take_error(ForerunBytes bytes) {
  return Error{take_text(bytes)};
}

}  // namespace forerun
