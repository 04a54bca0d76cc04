#include "speculation_options.h"

#include "formats/quote.h"
#include "model_options.h"

namespace forerun {
namespace {

CLI::Validator known() {
  const auto fault = [](const std::string& name) {
    const Result<SpeculationOptions> options = parse_speculation(name);
    return options.ok() ? std::string() : options.error().message;
  };
  return {fault, /*validator_desc=*/""};
}

}  // namespace

Result<SpeculationOptions> parse_speculation(const std::string& name) {
  SpeculationOptions options;
  if (name == "off") return options;
  options.forced = name == "forced";
  options.history = options.forced || name == "auto" || name == "history";
  options.prediction = options.forced || name == "auto" || name == "prediction";
  if (!options.on()) {
    return Error{"speculation is " + quote(name, 40) +
                 "; it may be auto, off, history, prediction or forced"};
  }
  return options;
}

CLI::Option* add_speculation(CLI::App& command, std::string& name) {
  return command
      .add_option("--speculation", name, "What drafts: auto, off, history, prediction, forced")
      ->check(known())
      ->type_name("KIND")
      ->capture_default_str();
}

CLI::Option* add_speculation_list(CLI::App& command, std::vector<std::string>& names) {
  return command
      .add_option("--speculation", names, "What drafts: auto, off, history, prediction, forced")
      ->delimiter(',')
      ->check(known())
      ->type_name("KIND,…")
      ->capture_default_str();
}

CLI::Option* add_max_draft(CLI::App& command, int& max_draft) {
  return command.add_option("--max-draft", max_draft, "The longest draft, in tokens")
      ->check(from_to(1, kMaxDraft))
      ->type_name("N")
      ->capture_default_str();
}

}  // namespace forerun
