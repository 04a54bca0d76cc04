#include "usage_error.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/edit_distance.h"

namespace forerun {
namespace {

// The subcommand the arguments had got to.
const CLI::App& innermost(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : innermost(*chosen.back());
}

// "forerun bench engine"
std::string full_name(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : full_name(*parent) + " " + app.get_name();
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

std::vector<std::string> subcommands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// What other engines call our options.
constexpr std::pair<std::string_view, std::string_view> kElsewhere[] = {
    {"--n-predict", "--max-tokens"},
    {"--predict", "--max-tokens"},
    {"--max-new-tokens", "--max-tokens"},
    {"--repeat-penalty", "--repetition-penalty"},
    {"--n", "--choices"},
    {"--reverse-prompt", "--stop"},
    {"--ctx-size", "--kv-tokens"},
    {"--max-model-len", "--kv-tokens"},
};

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// The one name that `name` is the beginning of.
std::optional<std::string> completed(const std::string& name,
                                     const std::vector<std::string>& candidates) {
  constexpr size_t kShortest = 4;  // "--x" and a letter
  std::optional<std::string> found;
  for (const std::string& candidate : candidates) {
    if (name.size() < kShortest || !candidate.starts_with(name)) continue;
    if (found.has_value()) return std::nullopt;
    found = candidate;
  }
  return found;
}

std::optional<std::string> meant_by(const std::string& name,
                                    const std::vector<std::string>& candidates) {
  for (const auto& [theirs, ours] : kElsewhere) {
    if (name == theirs && contains(candidates, ours)) return std::string(ours);
  }
  if (const auto whole = completed(name, candidates)) return whole;
  return probably_meant(name, candidates);
}

std::string unknown(const std::string& what, const std::string& name,
                    const std::vector<std::string>& candidates) {
  const std::optional<std::string> meant = meant_by(name, candidates);
  return what + " " + name + (meant.has_value() ? "; did you mean " + *meant + "?" : "");
}

std::optional<std::string> unknown_argument(const CLI::App& command) {
  const std::vector<std::string> left = command.remaining(/*recurse=*/true);
  const auto flag =
      std::ranges::find_if(left, [](const std::string& text) { return text.starts_with("-"); });
  if (flag != left.end()) {
    const std::string name = flag->substr(0, flag->find('='));
    return unknown("unknown option", name, flags_of(command));
  }
  if (left.empty()) return std::nullopt;
  const std::vector<std::string> subcommands = subcommands_of(command);
  if (subcommands.empty()) return "unexpected argument " + left.front();
  return unknown("unknown command", left.front(), subcommands);
}

}  // namespace

std::string explain_usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  return full_name(command) + ": " + unknown_argument(command).value_or(error.what()) + "\nRun '" +
         full_name(command) + " --help' for what it takes.\n";
}

}  // namespace forerun
