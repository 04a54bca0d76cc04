#include "base/cgroup.h"

#include <fstream>

namespace forerun {

std::vector<std::string> cgroup_folders(const std::string& root, const std::string& groups_file,
                                        const std::string& controller) {
  const std::string version_1 = root + "/" + controller;
  std::vector<std::string> folders = {root, version_1};
  std::ifstream groups(groups_file);
  for (std::string line; std::getline(groups, line);) {
    // "0::/path" (version 2) or "4:cpu,cpuacct:/path".
    const size_t begin = line.find(":/");
    if (begin == std::string::npos) continue;
    const std::string& top = line.starts_with("0::") ? root : version_1;
    for (std::string path = line.substr(begin + 1); path.size() > 1; path.resize(path.rfind('/'))) {
      folders.push_back(top + path);
    }
  }
  return folders;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace forerun
