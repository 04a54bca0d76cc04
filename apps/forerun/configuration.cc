#include "configuration.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <vector>

#include "base/edit_distance.h"
#include "formats/quote.h"
#include "text_input.h"

namespace forerun {
namespace {

constexpr size_t kMostFileBytes = 1'000'000;

std::string environment_name(std::string name) {
  for (char& c : name) {
    c = c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return "FORERUN_" + name;
}

// "max-waiting" of --max-waiting, "model" of the argument MODEL.
std::string key_of(const CLI::Option& option) {
  if (!option.get_lnames().empty()) return option.get_lnames().front();
  std::string name = option.get_single_name();
  for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return name;
}

// --help and the file's own name are no settings.
bool is_setting(const CLI::Option& option) {
  const std::string key = key_of(option);
  return key != "help" && key != "config";
}

std::optional<std::string> scalar(const YAML::Node& node) {
  return node.IsScalar() ? std::optional(node.Scalar()) : std::nullopt;
}

// The values of a key, as they would stand on the command line.
std::optional<std::vector<std::string>> values_of(const YAML::Node& node) {
  std::vector<std::string> values;
  if (node.IsSequence()) {
    for (const YAML::Node& entry : node) {
      const std::optional<std::string> value = scalar(entry);
      if (!value) return std::nullopt;
      values.push_back(*value);
    }
    return values;
  }
  const std::optional<std::string> value = scalar(node);
  if (!value) return std::nullopt;
  return std::vector<std::string>{*value};
}

Status give(CLI::Option& option, const YAML::Node& node, const std::string& key) {
  const auto values = values_of(node);
  if (!values) return Error{key + " takes a value or a list of them"};
  if (node.IsSequence() && option.get_expected_max() <= 1) {
    return Error{key + " takes one value, not a list"};
  }
  for (const std::string& value : *values) option.add_result(value);
  try {
    option.run_callback();
  } catch (const CLI::ParseError& error) {
    return Error{error.what()};
  }
  return {};
}

CLI::Option* find(CLI::App& command, const std::string& key) {
  const auto same = [&](const CLI::Option* option) {
    return is_setting(*option) && key_of(*option) == key;
  };
  const std::vector<CLI::Option*> options =
      command.get_options([&](CLI::Option* option) { return same(option); });
  return options.empty() ? nullptr : options.front();
}

Error unknown_key(CLI::App& command, const std::string& key) {
  std::vector<std::string> keys;
  for (const CLI::Option* option : command.get_options()) {
    if (is_setting(*option)) keys.push_back(key_of(*option));
  }
  const std::optional<std::string> meant = probably_meant(key, keys);
  return Error{"there is no setting " + quote(key) +
               (meant ? "; did you mean " + *meant + "?" : "")};
}

Status take_entry(CLI::App& command, const YAML::Node& key_node, const YAML::Node& value) {
  std::string key = scalar(key_node).value_or("");
  std::ranges::replace(key, '_', '-');
  CLI::Option* option = find(command, key);
  if (option == nullptr) return unknown_key(command, key);
  return option->count() > 0 ? Status() : give(*option, value, key);
}

Status take_all(CLI::App& command, const std::string& text, const std::string& path) {
  const YAML::Node root = YAML::Load(text);
  if (root.IsNull()) return {};
  if (!root.IsMap()) return Error{path + ": it must hold lines of the form `name: value`"};
  for (const auto& entry : root) {
    if (const Status status = take_entry(command, entry.first, entry.second); !status.ok()) {
      return Error{path + ", line " + std::to_string(entry.first.Mark().line + 1) + ": " +
                   status.error().message};
    }
  }
  return {};
}

}  // namespace

void take_from_environment(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    const bool named = !option->get_lnames().empty();
    if (named && option->get_lnames().front() != "help") {
      option->envname(environment_name(option->get_lnames().front()));
    }
  }
}

Status take_from_file(CLI::App& command, const std::string& path) {
  const Result<std::string> text = read_text(path, kMostFileBytes);
  if (!text.ok()) return text.error();
  try {
    return take_all(command, *text, path);
  } catch (const YAML::Exception& error) {
    return Error{path + ": " + error.what()};
  }
}

}  // namespace forerun
