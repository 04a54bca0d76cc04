#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "online/file_descriptor.h"

namespace forerun {

// `forerun-trainer learn` as a child: it reads records from a ring, obeys JSON objects on its
// standard input and tells JSON objects on its standard output, one a line. Nothing here waits for
// it but end().
class TrainerProcess final {
 public:
  // `ring`: a descriptor that the child gets as number 3, for `--ring 3` among the arguments.
  static Result<TrainerProcess> start(const std::string& path,
                                      const std::vector<std::string>& arguments, int ring);
  TrainerProcess(TrainerProcess&& other) noexcept;
  TrainerProcess& operator=(TrainerProcess&&) = delete;
  ~TrainerProcess();  // end()

  // What it has told since it was asked last; lines that are no JSON object are passed over.
  std::vector<Json> read();
  // Told if its input takes it now.
  void tell(const Json& command);

  bool is_running();
  // How it ended, for people: "exit status 1", "signal 9".
  const std::string& ending() const { return ending_; }

  // Closes its input, at which it saves and ends; after `seconds` it is killed.
  void end(double seconds);

 private:
  TrainerProcess(pid_t pid, FileDescriptor input, FileDescriptor output)
      : pid_(pid), input_(std::move(input)), output_(std::move(output)) {}
  void note_ending(int status);

  pid_t pid_;
  FileDescriptor input_;   // its standard input
  FileDescriptor output_;  // its standard output
  std::string unread_;     // a line that is not whole yet
  bool is_running_ = true;
  std::string ending_;
};

}  // namespace forerun
