#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

// The file or folder that a MODEL argument stands for: a file, and a directory that holds a model
// as Hugging Face lays it out, is itself; a short name, and a name on the hub ("org/name",
// hub_name.h), is what was pulled. An Error says which
// command fetches it, or which names there are.
Result<std::string> resolve_model(std::string_view argument);

}  // namespace forerun
