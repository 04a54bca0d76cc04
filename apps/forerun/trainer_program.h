#pragma once

#include <string>

#include "base/result.h"

namespace forerun {

// Where forerun-trainer is: `given` if it is not empty, else beside this program, in the build tree
// or in PATH. An Error says what `who`, "--learn" or a command, lacks.
Result<std::string> find_trainer(const std::string& given, const std::string& who);

}  // namespace forerun
