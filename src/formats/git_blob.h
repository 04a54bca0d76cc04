#pragma once

#include <string>

#include "base/result.h"

namespace forerun {

// The id that git gives a file's contents (SHA-1 of a short head and the bytes), 40 lower-case
// hexadecimal digits.
Result<std::string> git_blob_id(const std::string& path);

}  // namespace forerun
