#include "online/trainer_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "base/clock.h"

namespace forerun {
namespace {

constexpr int kRingNumber = 3;
constexpr size_t kMostLine = 1 << 20;
constexpr double kEndSeconds = 5.0;

struct Channel {
  FileDescriptor ours;
  FileDescriptor theirs;
};

// Sockets: a pipe whose reader has died would end this process, too (SIGPIPE).
Result<Channel> make_channel() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return system_error("make", "a pair of sockets");
  }
  return Channel{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// The file actions of a child, as posix_spawn() wants them.
class SpawnActions final {
 public:
  SpawnActions() { posix_spawn_file_actions_init(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }

  void give(int descriptor, int number) {
    posix_spawn_file_actions_adddup2(&actions_, descriptor, number);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// A process group of its own: an interruption from the terminal is the server's to deal with.
class SpawnAttributes final {
 public:
  SpawnAttributes() {
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP);
  }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes_); }
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

}  // namespace

Result<TrainerProcess> TrainerProcess::start(const std::string& path,
                                             const std::vector<std::string>& arguments, int ring) {
  Result<Channel> input = make_channel();
  if (!input.ok()) return input.error();
  Result<Channel> output = make_channel();
  if (!output.ok()) return output.error();
  SpawnActions actions;
  std::array<FileDescriptor, 3> lifted;
  const std::array given = {std::pair{input->theirs.get(), STDIN_FILENO},
                            std::pair{output->theirs.get(), STDOUT_FILENO},
                            std::pair{ring, kRingNumber}};
  for (size_t i = 0; i < given.size(); ++i) {
    // From numbers above those it is to have, or giving one would take another away.
    lifted[i] = FileDescriptor(fcntl(given[i].first, F_DUPFD_CLOEXEC, kRingNumber + 1));
    if (!lifted[i].is_open()) return system_error("duplicate", "a descriptor for " + path);
    actions.give(lifted[i].get(), given[i].second);
  }
  std::vector<char*> words = {const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) {
    words.push_back(const_cast<char*>(argument.c_str()));
  }
  words.push_back(nullptr);
  pid_t pid = 0;
  const SpawnAttributes attributes;
  const int failure =
      posix_spawn(&pid, path.c_str(), actions.get(), attributes.get(), words.data(), environ);
  if (failure != 0) return Error{"cannot start " + path + ": " + std::strerror(failure)};
  return TrainerProcess(pid, std::move(input->ours), std::move(output->ours));
}

TrainerProcess::TrainerProcess(TrainerProcess&& other) noexcept
    : pid_(other.pid_),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      unread_(std::move(other.unread_)),
      is_running_(std::exchange(other.is_running_, false)),
      ending_(std::move(other.ending_)) {}

TrainerProcess::~TrainerProcess() {
  end(kEndSeconds);
}

std::vector<Json> TrainerProcess::read() {
  std::array<char, 4096> chunk;
  while (true) {
    const ssize_t count = recv(output_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (count <= 0) break;
    unread_.append(chunk.data(), static_cast<size_t>(count));
    // Whoever writes without an end is no trainer.
    if (unread_.size() > kMostLine) unread_.clear();
  }
  std::vector<Json> told;
  size_t begin = 0;
  for (size_t end; (end = unread_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view line(unread_.data() + begin, end - begin);
    Json one = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (one.is_object()) told.push_back(std::move(one));
  }
  unread_.erase(0, begin);
  return told;
}

void TrainerProcess::tell(const Json& command) {
  const std::string line = command.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  // Lines are far shorter than what a socket holds.
  send(input_.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool TrainerProcess::is_running() {
  int status = 0;
  if (is_running_ && waitpid(pid_, &status, WNOHANG) == pid_) note_ending(status);
  return is_running_;
}

void TrainerProcess::note_ending(int status) {
  is_running_ = false;
  ending_ = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                : "exit status " + std::to_string(WEXITSTATUS(status));
}

void TrainerProcess::end(double seconds) {
  input_ = FileDescriptor();
  const double end = now_seconds() + seconds;
  while (is_running() && now_seconds() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (!is_running_) return;
  kill(pid_, SIGKILL);
  int status = 0;
  if (waitpid(pid_, &status, 0) == pid_) note_ending(status);
}

}  // namespace forerun
