#include "trainer_program.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <system_error>

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr char kTrainer[] = "forerun-trainer";

bool can_run(const fs::path& path) {
  return access(path.c_str(), X_OK) == 0 && !fs::is_directory(path);
}

std::optional<std::string> look_for_trainer() {
  std::error_code failure;
  const fs::path own = fs::read_symlink("/proc/self/exe", failure).parent_path();
  for (const fs::path& path : {own / kTrainer, own / "../../trainer" / kTrainer}) {
    if (!failure && can_run(path)) return path.lexically_normal().string();
  }
  const char* path_list = std::getenv("PATH");
  std::istringstream folders(path_list == nullptr ? "" : path_list);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!folder.empty() && can_run(fs::path(folder) / kTrainer)) return folder + "/" + kTrainer;
  }
  return std::nullopt;
}

}  // namespace

Result<std::string> find_trainer(const std::string& given, const std::string& who) {
  if (!given.empty()) {
    if (can_run(given)) return given;
    return Error{given + " is no program that can be run"};
  }
  if (const std::optional<std::string> found = look_for_trainer()) return *found;
  return Error{who +
               " needs forerun-trainer, which is built where libtorch is installed "
               "(libtorch-dev), and is not beside this program; --trainer says where it is"};
}

}  // namespace forerun
