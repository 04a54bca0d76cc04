#pragma once

#include <string>
#include <vector>

namespace forerun {

constexpr char kCgroupRoot[] = "/sys/fs/cgroup";
constexpr char kCgroupsOfThisProcess[] = "/proc/self/cgroup";

// Folders of the control groups listed in `groups_file` (as /proc/self/cgroup) and of all above
// them: under `root` for version 2, under root/controller for version 1. A limit in any of them
// holds; which of the folders and their files are there depends on the system.
std::vector<std::string> cgroup_folders(const std::string& root, const std::string& groups_file,
                                        const std::string& controller);

// The first line of one of a folder's files, or nothing.
std::string first_line(const std::string& path);

}  // namespace forerun
