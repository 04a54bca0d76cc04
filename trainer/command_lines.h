#pragma once

#include <optional>
#include <string>

namespace forerun {

// Lines that come through a descriptor now and then.
class CommandLines final {
 public:
  explicit CommandLines(int descriptor) : descriptor_(descriptor) {}

  // Waits for at most so long until something comes, and reads it.
  void wait(int milliseconds);
  // The next whole line, without its end. One that is far too long comes in parts.
  std::optional<std::string> next();
  // The writer is gone.
  bool has_ended() const { return has_ended_; }

 private:
  int descriptor_;
  std::string unread_;
  bool has_ended_ = false;
};

}  // namespace forerun
