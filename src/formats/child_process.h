#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace forerun {

struct ChildCommand {
  std::vector<std::string> arguments;    // the program first, looked up in PATH; no shell sees them
  std::vector<std::string> environment;  // "NAME=value", replacing the inherited ones
  // Takes what the child writes to its standard output; an Error ends the child. Without it the
  // child's output goes to this process's standard error.
  std::function<Status(std::span<const uint8_t>)> on_output;
};

struct ChildEnd {
  int status = 0;      // exit status, or 128 + the number of the signal that ended it
  std::string errors;  // the last part of what it wrote to standard error
};

// Runs a program to its end. An Error: it could not be started ("is not installed" when there is no
// such program), or on_output gave one.
Result<ChildEnd> run_child(const ChildCommand& command);

}  // namespace forerun
