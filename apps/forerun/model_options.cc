#include "model_options.h"

namespace forerun {

CLI::Option* add_model(CLI::App& command, std::string& model) {
  return command
      .add_option("MODEL", model,
                  "A pulled model's short name or org/name, a .gguf file, or a\n"
                  "directory with config.json and safetensors")
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

CLI::Option* add_kv_type(CLI::App& command, std::optional<KvType>& type) {
  const auto check = [](const std::string& name) {
    const Result<KvType> parsed = parse_kv_type(name);
    return parsed.ok() ? std::string() : parsed.error().message;
  };
  return command
      .add_option_function<std::string>(
          "--kv-type", [&type](const std::string& name) { type = *parse_kv_type(name); },
          "Keys and values as f16, bf16 or int8; else the faster 16-bit type")
      ->check(check)
      ->type_name("TYPE")
      ->group(kMachineOptions);
}

CLI::Option* add_json(CLI::App& command, bool& json, const char* help) {
  return command.add_flag("--json", json, help)->group(kOutputOptions);
}

}  // namespace forerun
