#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace forerun {

struct Line {
  enum class Kind : uint8_t {
    kText,
    kEnd,          // of input
    kInterrupted,  // by Ctrl-C
    kFailed,       // `text` says why
  };
  Kind kind = Kind::kText;
  std::string text;
};

// Gives the next line, without its newline; a terminal shows `prompt` before it.
using LineSource = std::function<Line(const std::string& prompt)>;

// Reads messages: a line each, except that a line that ends in \ goes on in the next, and that
// """ begins a message which ends with the line that ends in """.
class MessageReader final {
 public:
  explicit MessageReader(LineSource lines) : lines_(std::move(lines)) {}

  Line read();

 private:
  Line read_quoted(std::string text);

  LineSource lines_;
};

// Lines of standard input up to 16 MB long.
LineSource piped_lines();

// Lines typed at the terminal, with editing and a history; without the library for that, as the
// terminal itself gives them.
LineSource terminal_lines();

}  // namespace forerun
