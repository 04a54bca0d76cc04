#include <cstdio>

#include "message_reader.h"

// Built where libedit is missing.
namespace forerun {

LineSource terminal_lines() {
  return [lines = piped_lines()](const std::string& prompt) {
    std::fputs(prompt.c_str(), stdout);
    std::fflush(stdout);
    return lines(prompt);
  };
}

}  // namespace forerun
