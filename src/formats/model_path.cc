#include "formats/model_path.h"

#include <filesystem>
#include <system_error>

#include "formats/hub_cache.h"
#include "formats/hub_catalog.h"
#include "formats/quote.h"

namespace forerun {

Result<std::string> resolve_model(std::string_view argument) {
  if (argument.empty()) return Error{"the model's name is empty"};
  const std::string path(argument);
  std::error_code failure;
  if (std::filesystem::exists(path, failure)) return path;
  const bool looks_like_a_path =
      argument.find('/') != std::string_view::npos || argument.ends_with(".gguf");
  if (looks_like_a_path) return Error{"there is no file " + quote(argument, 300)};
  const Result<HubModel> model = HubCatalog::builtin().find(argument);
  if (!model.ok()) {
    return Error{"there is no file " + quote(argument) + ", and " + model.error().message};
  }
  const Result<HubCache> cache = HubCache::from_environment();
  if (!cache.ok()) return cache.error();
  if (cache->has(*model)) return cache->path_of(*model);
  return Error{"the model " + model->name + " is not here yet; run: forerun pull " + model->name};
}

}  // namespace forerun
