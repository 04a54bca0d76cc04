#include "command_lines.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace forerun {
namespace {

constexpr size_t kLongestLine = 1 << 16;

}  // namespace

void CommandLines::wait(int milliseconds) {
  pollfd waiting = {.fd = descriptor_, .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, milliseconds) <= 0) return;
  std::array<char, 4096> bytes;
  const ssize_t count = read(descriptor_, bytes.data(), bytes.size());
  if (count > 0) {
    unread_.append(bytes.data(), static_cast<size_t>(count));
  } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
    has_ended_ = true;
  }
}

std::optional<std::string> CommandLines::next() {
  const size_t end = unread_.find('\n');
  if (end == std::string::npos) {
    if (unread_.size() < kLongestLine) return std::nullopt;
    return std::exchange(unread_, {});
  }
  std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return line;
}

}  // namespace forerun
