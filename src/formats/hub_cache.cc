#include "formats/hub_cache.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "formats/hub_pull.h"
#include "formats/sha256.h"

namespace forerun {

namespace fs = std::filesystem;

Result<HubCache> HubCache::from_environment() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string home = variable("FORERUN_HOME"); !home.empty()) return HubCache(home);
  if (const std::string home = variable("HOME"); !home.empty()) {
    return HubCache(home + "/.cache/forerun");
  }
  return Error{"neither FORERUN_HOME nor HOME is set; set FORERUN_HOME to a folder for models"};
}

std::string HubCache::folder_of(const HubModel& model) const {
  return home_ + "/models/" + model.name;
}

std::string HubCache::path_of(const HubModel& model) const {
  return folder_of(model) + "/" + model.file_name();
}

bool HubCache::has(const HubModel& model) const {
  std::error_code failure;
  const auto size_bytes = fs::file_size(path_of(model), failure);
  return !failure && size_bytes == model.size_bytes;
}

Status HubCache::verify(const HubModel& model,
                        const std::function<void(uint64_t)>& progress) const {
  const Result<std::string> digest = sha256_of_file(path_of(model), progress);
  if (!digest.ok()) return digest.error();
  if (*digest == model.sha256) return {};
  return Error{path_of(model) + " has SHA-256 " + *digest + " where " + model.sha256 +
               " is expected; delete it and run: forerun pull " + model.name};
}

Result<std::string> HubCache::pull(const HubModel& model, const Progress& progress) const {
  return HubPull(model, folder_of(model), progress).run();
}

}  // namespace forerun
