#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

// The file or folder that a MODEL argument stands for: a path that exists is itself; a short name
// is the pulled file. An Error says which command fetches it, or which names there are.
Result<std::string> resolve_model(std::string_view argument);

}  // namespace forerun
