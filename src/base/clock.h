#pragma once

#include <chrono>

namespace forerun {

// Seconds on the steady clock; only differences mean anything.
inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace forerun
