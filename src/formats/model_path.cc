#include "formats/model_path.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "formats/hub_cache.h"
#include "formats/hub_catalog.h"
#include "formats/hub_name.h"
#include "formats/hub_repository.h"
#include "formats/quote.h"
#include "formats/safetensors_shards.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

// "…; give the .gguf file in it: a.gguf, b.gguf"
Error is_a_directory(const std::string& path) {
  std::vector<std::string> files;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(path, failure)) {
    if (entry.path().extension() == ".gguf") files.push_back(entry.path().filename().string());
  }
  if (files.empty()) return SafetensorsShards::missing_from(path);
  std::ranges::sort(files);
  constexpr size_t kMostNames = 5;
  std::string names;
  for (size_t i = 0; i < std::min(files.size(), kMostNames); ++i) {
    names += (i > 0 ? ", " : "") + quote(files[i]);
  }
  if (files.size() > kMostNames) names += ", …";
  return Error{quote(path, 300) + " is a directory; give a .gguf file in it: " + names};
}

// "org/name", with a file or a revision: what was pulled from the hub.
Result<std::string> find_on_hub(const HubName& name) {
  const Result<HubCache> cache = HubCache::from_environment();
  if (!cache.ok()) return cache.error();
  const std::optional<std::string> path = HubRepository(cache->home(), name).find();
  if (path) return *path;
  return Error{
      "there is no file " + quote(name.text(), 300) +
      ", and no such model has been pulled; if it is one of the hub's, run: forerun pull " +
      name.text()};
}

}  // namespace

Result<std::string> resolve_model(std::string_view argument) {
  if (argument.empty()) return Error{"the model's name is empty"};
  const std::string path(argument);
  std::error_code failure;
  const bool is_directory = fs::is_directory(path, failure);
  const bool is_model = is_directory ? SafetensorsShards::are_in(path) : fs::exists(path, failure);
  if (is_model) return path;
  const bool looks_like_a_path =
      argument.find('/') != std::string_view::npos || argument.ends_with(".gguf");
  const Result<HubModel> model = HubCatalog::builtin().find(argument);
  if (is_directory && (looks_like_a_path || !model.ok())) return is_a_directory(path);
  const Result<HubName> hub_name = HubName::parse(argument);
  const bool is_file_name = argument.ends_with(".gguf") && argument.find(':') == argument.npos;
  if (hub_name.ok() && !is_file_name) return find_on_hub(*hub_name);
  if (looks_like_a_path) return Error{"there is no file " + quote(argument, 300)};
  if (!model.ok()) {
    return Error{"there is no file " + quote(argument) + ", and " + model.error().message};
  }
  const Result<HubCache> cache = HubCache::from_environment();
  if (!cache.ok()) return cache.error();
  if (cache->has(*model)) return cache->path_of(*model);
  return Error{"the model " + model->name + " is not here yet; run: forerun pull " + model->name};
}

}  // namespace forerun
