#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <type_traits>

#include "kernels/attention.h"

namespace forerun {

// Options that more than one command has, and the groups they stand in.
constexpr char kMachineOptions[] = "Machine";
constexpr char kOutputOptions[] = "Output";

CLI::Option* add_model(CLI::App& command, std::string& model);
CLI::Option* add_threads(CLI::App& command, int& threads);
CLI::Option* add_kv_type(CLI::App& command, std::optional<KvType>& type);
CLI::Option* add_json(CLI::App& command, bool& json, const char* help = "Print JSON");

// Whole numbers from `low` to `high`; the limits stand in the error, not in the help. Stricter than
// CLI11's own reading, which takes 2^64 for the largest number there is and 010 for eight.
template <std::integral T>
CLI::Validator from_to(T low, T high) {
  const auto fault = [low, high](const std::string& text) -> std::string {
    T value{};
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool plain = read.ec == std::errc() && std::to_string(value) == text;
    if (plain && value >= low && value <= high) return "";
    return text + " is not a whole number from " + std::to_string(low) + " to " +
           std::to_string(high);
  };
  return {fault, /*validator_desc=*/""};
}

// An option that takes such a number.
template <std::integral T>
CLI::Option* add_count(CLI::App& command, const char* name, T& count, std::type_identity_t<T> low,
                       std::type_identity_t<T> high, const char* help) {
  return command.add_option(name, count, help)
      ->check(from_to<T>(low, high))
      ->type_name("N")
      ->capture_default_str();
}

}  // namespace forerun
