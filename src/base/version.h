#pragma once

#include <string_view>

namespace forerun {

// Part of the system fingerprint: raise it when a change may alter tokens. CMakeLists.txt reads it.
constexpr std::string_view kVersion = "0.1.0";

}  // namespace forerun
