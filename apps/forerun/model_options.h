#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace forerun {

// Options that more than one command has, and the groups they stand in.
constexpr char kMachineOptions[] = "Machine";
constexpr char kOutputOptions[] = "Output";

CLI::Option* add_model(CLI::App& command, std::string& model);
CLI::Option* add_threads(CLI::App& command, int& threads);
CLI::Option* add_json(CLI::App& command, bool& json, const char* help = "Print JSON");

// Numbers from `low` to `high`; the limits stand in the error, not in the help.
template <typename T>
CLI::Validator from_to(T low, T high) {
  CLI::Validator range = CLI::Range(low, high);
  range.description("");
  return range;
}

}  // namespace forerun
