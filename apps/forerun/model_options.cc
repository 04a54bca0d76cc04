#include "model_options.h"

namespace forerun {

CLI::Option* add_model(CLI::App& command, std::string& model) {
  return command
      .add_option("MODEL", model,
                  "The short name of a pulled model, a .gguf file, or a directory\n"
                  "with config.json and safetensors")
      ->required()
      ->type_name("");
}

CLI::Option* add_threads(CLI::App& command, int& threads) {
  return command.add_option("-t,--threads", threads, "Threads to use; 0: every usable processor")
      ->check(from_to(0, 1024))
      ->type_name("N")
      ->capture_default_str()
      ->group(kMachineOptions);
}

CLI::Option* add_json(CLI::App& command, bool& json, const char* help) {
  return command.add_flag("--json", json, help)->group(kOutputOptions);
}

}  // namespace forerun
