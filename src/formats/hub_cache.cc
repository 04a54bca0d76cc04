#include "formats/hub_cache.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "formats/hub_pull.h"
#include "formats/sha256.h"

namespace forerun {

namespace fs = std::filesystem;

namespace {

std::string file_path(const std::string& folder, const HubFile& file) {
  return folder + "/" + file.name;
}

}  // namespace

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
  return model.is_directory() ? folder_of(model) : file_path(folder_of(model), model.files[0]);
}

bool HubCache::has(const HubModel& model) const {
  const std::string folder = folder_of(model);
  return std::ranges::all_of(model.files, [&](const HubFile& file) {
    std::error_code failure;
    const auto size_bytes = fs::file_size(file_path(folder, file), failure);
    return !failure && size_bytes == file.size_bytes;
  });
}

Status HubCache::verify(const HubModel& model,
                        const std::function<void(uint64_t)>& progress) const {
  uint64_t done_bytes = 0;
  for (const HubFile& file : model.files) {
    const std::string path = file_path(folder_of(model), file);
    const Result<std::string> digest = sha256_of_file(path, [&](uint64_t bytes) {
      if (progress) progress(done_bytes + bytes);
    });
    if (!digest.ok()) return digest.error();
    if (*digest != file.sha256) {
      return Error{path + " has SHA-256 " + *digest + " where " + file.sha256 +
                   " is expected; delete it and run: forerun pull " + model.name};
    }
    done_bytes += file.size_bytes;
  }
  return {};
}

Result<std::string> HubCache::pull(const HubModel& model, const Progress& progress) const {
  return HubPull(model, folder_of(model), progress).run();
}

}  // namespace forerun
