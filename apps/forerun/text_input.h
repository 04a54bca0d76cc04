#pragma once

#include <string>

#include "base/result.h"

namespace forerun {

// All of a file, or of standard input for "-", without one newline at its very end. An Error says
// why it cannot be read, or that it is larger than 256 MB.
Result<std::string> read_text(const std::string& path);

}  // namespace forerun
