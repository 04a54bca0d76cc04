#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace forerun {

// What a shell can complete of a program, read from the CLI11 tables that its help is made of.
struct CompletionOption {
  std::vector<std::string> names;  // "-n", "--number"
  std::string description;         // its first line
  bool takes_value = false;
  bool takes_file = false;
};
struct CompletionCommand {
  std::string path;  // "bench engine"; empty: the program itself
  std::string description;
  std::vector<CompletionOption> options;
  std::vector<std::string> subcommands;  // their names
  bool takes_files = false;              // as positionals
};

// The program and all its commands, those before their subcommands.
std::vector<CompletionCommand> completion_tables(const CLI::App& app);

// The script of one shell, for a program of this name.
std::string bash_completion(const std::string& program,
                            const std::vector<CompletionCommand>& commands);
std::string zsh_completion(const std::string& program,
                           const std::vector<CompletionCommand>& commands);
std::string fish_completion(const std::string& program,
                            const std::vector<CompletionCommand>& commands);

}  // namespace forerun
