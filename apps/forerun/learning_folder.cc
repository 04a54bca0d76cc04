#include "learning_folder.h"

#include <filesystem>

#include "formats/hub_cache.h"

namespace forerun {

std::string model_name(const std::string& model) {
  const std::filesystem::path path = std::filesystem::absolute(model).lexically_normal();
  const std::filesystem::path last = path.has_filename() ? path : path.parent_path();
  return (last.extension() == ".gguf" ? last.stem() : last.filename()).string();
}

Result<std::string> learning_folder(const std::string& model) {
  const Result<HubCache> cache = HubCache::from_environment();
  if (!cache.ok()) return cache.error();
  return cache->home() + "/learning/" + model_name(model);
}

}  // namespace forerun
