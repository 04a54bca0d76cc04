#pragma once

#include <CLI/CLI.hpp>

#include "base/result.h"

namespace forerun {

// Each adds one subcommand. When it has run, `exit_code` is what the process ends with: 0, or 1
// with a sentence on standard error.
//
// A new subcommand is a file with such a function, its line here and its line in main.cc.
void add_bench(CLI::App& app, int& exit_code);
void add_chat(CLI::App& app, int& exit_code);
void add_completion(CLI::App& app, int& exit_code);
void add_embed(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_heads(CLI::App& app, int& exit_code);
void add_inspect(CLI::App& app, int& exit_code);
void add_isa(CLI::App& app, int& exit_code);
void add_pull(CLI::App& app, int& exit_code);
void add_serve(CLI::App& app, int& exit_code);
void add_tokenize(CLI::App& app, int& exit_code);
void add_train(CLI::App& app, int& exit_code);

// Groups of subcommands in `forerun --help`.
constexpr char kModelCommands[] = "Models";
constexpr char kRunCommands[] = "Run";
constexpr char kShellCommands[] = "Shell";

// Prints "forerun: <sentence>" to standard error and returns 1.
int failed(const Error& error);

}  // namespace forerun
