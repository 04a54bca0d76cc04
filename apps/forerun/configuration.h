#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"

namespace forerun {

// A command's options from elsewhere than its arguments: FORERUN_NAME in the environment for
// --name, and `name: value` in a YAML file. An argument counts before the environment, the
// environment before the file.

// Lets every long option of `command` be given as FORERUN_<NAME>, dashes as underscores.
void take_from_environment(CLI::App& command);

// Gives the options that have no value yet those of the file; a list gives a repeatable option each
// of its entries. To be called when the arguments have been read. An Error names the file, the line
// and the key: an unknown one, a value the option does not take, or YAML that cannot be read.
Status take_from_file(CLI::App& command, const std::string& path);

}  // namespace forerun
