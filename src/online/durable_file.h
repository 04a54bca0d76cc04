#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace forerun {

// Files that are still there, whole, after a kill or a loss of power. Errors name the path.

// A file's bytes, or the names in a folder, reach the disk.
Status sync_to_disk(const std::string& path);

// Writes a file, readable by nobody but the user, that appears whole or not at all: beside its path
// as PATH.partial, synced and renamed, and the folder synced.
Status write_durably(const std::string& path, std::string_view text);

// Renames within a folder, which is then synced.
Status rename_durably(const std::string& from, const std::string& to);

}  // namespace forerun
