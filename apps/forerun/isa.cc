#include "kernels/isa.h"

#include <cstdio>

#include "commands.h"

namespace forerun {

void add_isa(CLI::App& app, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("isa", "List the instruction sets this machine has, the best last");
  command->group(kModelCommands);
  command->footer("FORERUN_ISA=<name> makes every command use that one.");
  command->callback([&exit_code] {
    for (const Isa isa : available_isas()) std::puts(std::string(isa_name(isa)).c_str());
    exit_code = 0;
  });
}

}  // namespace forerun
