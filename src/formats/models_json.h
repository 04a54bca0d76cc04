#pragma once

#include <string_view>

namespace forerun {

// The text of models.json in the repository's root; written by CMake, so that an installed program
// needs no file beside it.
std::string_view models_json();

}  // namespace forerun
