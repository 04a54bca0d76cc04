#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace forerun {

// What to tell about a command line that could not be parsed: the flag or subcommand that is not
// known and the one that was probably meant, else what the parser said; then where help is.
std::string explain_usage_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace forerun
