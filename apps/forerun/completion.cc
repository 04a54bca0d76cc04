#include <array>
#include <cstdio>
#include <string>

#include "commands.h"
#include "completion_tables.h"

namespace forerun {
namespace {

struct Shell {
  const char* name;
  std::string (*script)(const std::string& program, const std::vector<CompletionCommand>& commands);
};
constexpr std::array<Shell, 3> kShells = {
    {{"bash", &bash_completion}, {"zsh", &zsh_completion}, {"fish", &fish_completion}}};

}  // namespace

void add_completion(CLI::App& app, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("completion", "Print a script that lets a shell complete this command");
  command->group(kShellCommands);
  command->footer(
      "bash:  source <(forerun completion bash)\n"
      "zsh:   source <(forerun completion zsh)\n"
      "fish:  forerun completion fish | source");
  command->require_subcommand(1);
  for (const Shell& shell : kShells) {
    command->add_subcommand(shell.name, std::string("For ") + shell.name)
        ->callback([&app, &exit_code, script = shell.script] {
          std::fputs(script(app.get_name(), completion_tables(app)).c_str(), stdout);
          exit_code = 0;
        });
  }
}

}  // namespace forerun
