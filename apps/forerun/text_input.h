#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace forerun {

// All of a file, or of standard input for "-", without one newline at its very end. An Error says
// why it cannot be read, or that it is larger than `most_bytes`, which are whole megabytes.
Result<std::string> read_text(const std::string& path, size_t most_bytes);

}  // namespace forerun
