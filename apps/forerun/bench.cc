#include "bench.h"

#include "commands.h"

namespace forerun {

void add_bench(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("bench", "Measure speed and quality");
  command->group(kRunCommands);
  command->require_subcommand(1);
  add_bench_engine(*command, exit_code);
  add_bench_learning(*command, exit_code);
  add_bench_perplexity(*command, exit_code);
  add_bench_score(*command, exit_code);
  add_bench_replay(*command, exit_code);
  add_bench_speculation(*command, exit_code);
  add_bench_swaps(*command, exit_code);
}

}  // namespace forerun
