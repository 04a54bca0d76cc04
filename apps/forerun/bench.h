#pragma once

#include <CLI/CLI.hpp>

namespace forerun {

// The subcommands of `forerun bench`, as in commands.h.
void add_bench_engine(CLI::App& bench, int& exit_code);
void add_bench_learning(CLI::App& bench, int& exit_code);
void add_bench_perplexity(CLI::App& bench, int& exit_code);
void add_bench_score(CLI::App& bench, int& exit_code);
void add_bench_replay(CLI::App& bench, int& exit_code);
void add_bench_speculation(CLI::App& bench, int& exit_code);
void add_bench_swaps(CLI::App& bench, int& exit_code);

}  // namespace forerun
