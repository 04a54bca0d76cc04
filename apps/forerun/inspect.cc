#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "commands.h"
#include "formats/model_files.h"
#include "formats/model_path.h"
#include "formats/safetensors.h"
#include "model_report.h"

namespace forerun {
namespace {

struct InspectOptions {
  std::string file;
  bool json = false;
  bool tensors = false;
};

int print_report(const InspectOptions& options, ModelFacts facts) {
  const ModelReport report(std::move(facts));
  // Keys and tokens need not be UTF-8; JSON has to be.
  const std::string text =
      options.json
          ? report.json().dump(/*indent=*/2, ' ', false, Json::error_handler_t::replace) + "\n"
          : report.text(options.tensors);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) return failed(Error{"cannot write the report"});
  return 0;
}

int inspect(const InspectOptions& options) {
  const Result<std::string> path = resolve_model(options.file);
  if (!path.ok()) return failed(path.error());
  if (path->ends_with(".safetensors")) {
    const Result<Safetensors> file = Safetensors::open(*path);
    return file.ok() ? print_report(options, facts_of(*file)) : failed(file.error());
  }
  const Result<ModelFiles> files = ModelFiles::open(*path, GgufTypes::kAny);
  if (!files.ok()) return failed(files.error());
  if (files->gguf() != nullptr) return print_report(options, facts_of(*files->gguf()));
  return print_report(options, facts_of(*files->directory()));
}

}  // namespace

void add_inspect(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "Show what is in a model file");
  command->group(kModelCommands);
  command
      ->add_option("FILE", options->file,
                   "A .gguf or .safetensors file, a model's directory, or the short\n"
                   "name of a pulled model")
      ->required()
      ->type_name("");
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->add_flag("--json", options->json, "Print JSON (always with every tensor)");
  command->callback([options, &exit_code] { exit_code = inspect(*options); });
}

}  // namespace forerun
