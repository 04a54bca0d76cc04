#include "formats/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace forerun {
namespace {

constexpr size_t kKeptErrorBytes = 64 << 10;

class FileDescriptor final {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { close(); }

  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;
};

Result<Pipe> open_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return Error{"cannot open a pipe: " + std::string(std::strerror(errno))};
  }
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

std::vector<std::string> merged_environment(const std::vector<std::string>& replacing) {
  std::vector<std::string> merged = replacing;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('=') + 1);
    const bool replaced =
        std::ranges::any_of(replacing, [&](const auto& other) { return other.starts_with(name); });
    if (!replaced) merged.push_back(text);
  }
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

Result<pid_t> spawn(const ChildCommand& command, int output_fd, int errors_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors_fd, STDERR_FILENO);
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = merged_environment(command.environment);
  pid_t child = 0;
  const int failure = posix_spawnp(&child, arguments[0].c_str(), &actions, nullptr,
                                   pointers(arguments).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (failure == ENOENT) return Error{arguments[0] + " is not installed"};
  if (failure != 0) return Error{"cannot run " + arguments[0] + ": " + std::strerror(failure)};
  return child;
}

// Takes what has come through the pipe; closes it at its end.
Status drain(FileDescriptor& fd, const std::function<Status(std::span<const uint8_t>)>& take) {
  uint8_t bytes[64 << 10];
  const ssize_t size = read(fd.get(), bytes, sizeof(bytes));
  if (size > 0) return take({bytes, static_cast<size_t>(size)});
  if (size == 0 || errno != EINTR) fd.close();
  return {};
}

Status read_both(FileDescriptor& output, FileDescriptor& errors, const ChildCommand& command,
                 std::string& kept_errors) {
  const auto keep = [&](std::span<const uint8_t> bytes) -> Status {
    kept_errors.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (kept_errors.size() > 2 * kKeptErrorBytes) {
      kept_errors.erase(0, kept_errors.size() - kKeptErrorBytes);
    }
    return {};
  };
  while (output.get() >= 0 || errors.get() >= 0) {
    // poll() passes over negative descriptors.
    pollfd waiting[2] = {{output.get(), POLLIN, 0}, {errors.get(), POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) break;
    if (waiting[1].revents != 0) (void)drain(errors, keep);
    if (waiting[0].revents == 0) continue;
    const Status status = drain(output, command.on_output);
    if (!status.ok()) return status;
  }
  return {};
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<ChildEnd> run_child(const ChildCommand& command) {
  Result<Pipe> errors = open_pipe();
  if (!errors.ok()) return errors.error();
  Pipe output;
  if (command.on_output) {
    Result<Pipe> opened = open_pipe();
    if (!opened.ok()) return opened.error();
    output = std::move(*opened);
  }
  const int output_fd = command.on_output ? output.write_end.get() : STDERR_FILENO;
  const Result<pid_t> child = spawn(command, output_fd, errors->write_end.get());
  if (!child.ok()) return child.error();
  output.write_end.close();
  errors->write_end.close();
  ChildEnd end;
  const Status status = read_both(output.read_end, errors->read_end, command, end.errors);
  if (!status.ok()) kill(*child, SIGKILL);
  end.status = wait_for(*child);
  if (!status.ok()) return status.error();
  return end;
}

}  // namespace forerun
