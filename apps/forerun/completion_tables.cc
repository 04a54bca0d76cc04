#include "completion_tables.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace forerun {
namespace {

// What an option calls its value where that is a path. A model may also be a short name; files are
// what a shell can complete of it.
constexpr std::array<std::string_view, 3> kPathTypes = {"FILE", "MODEL", "DIR"};

bool is_path(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return std::any_of(kPathTypes.begin(), kPathTypes.end(), [&](std::string_view path) {
    return type.substr(0, type.find(' ')) == path || option.get_name() == path;
  });
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// An option without a group is one that the help does not show either.
CompletionCommand table_of(const CLI::App& app, const std::string& path) {
  CompletionCommand command = {path, first_line(app.get_description()), {}, {}, false};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    if (option->get_positional()) command.takes_files |= is_path(*option);
    CompletionOption row;
    for (const std::string& name : option->get_snames()) row.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) row.names.push_back("--" + name);
    row.description = first_line(option->get_description());
    row.takes_value = option->get_items_expected_max() > 0;
    row.takes_file = row.takes_value && is_path(*option);
    if (!row.names.empty()) command.options.push_back(row);
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_group().empty()) command.subcommands.push_back(sub->get_name());
  }
  return command;
}

void add_tables(const CLI::App& app, const std::string& path,
                std::vector<CompletionCommand>& tables) {
  tables.push_back(table_of(app, path));
  for (const std::string& name : std::vector<std::string>(tables.back().subcommands)) {
    add_tables(*app.get_subcommand(name), path.empty() ? name : path + " " + name, tables);
  }
}

}  // namespace

std::vector<CompletionCommand> completion_tables(const CLI::App& app) {
  std::vector<CompletionCommand> tables;
  add_tables(app, "", tables);
  return tables;
}

}  // namespace forerun
