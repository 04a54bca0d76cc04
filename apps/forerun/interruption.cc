#include "interruption.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace forerun {
namespace {

volatile std::sig_atomic_t noted = 0;
int pipe_ends[2] = {-1, -1};  // the handler writes to the second

void note(int signal) {
  const int error = errno;
  noted = signal;
  // A full pipe is readable already.
  [[maybe_unused]] const ssize_t written = write(pipe_ends[1], "", 1);
  errno = error;
}

void note_on(int signal, int flags) {
  if (pipe_ends[0] < 0 && pipe2(pipe_ends, O_NONBLOCK | O_CLOEXEC) != 0) pipe_ends[0] = -1;
  struct sigaction action{};
  action.sa_handler = note;
  action.sa_flags = flags | SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

int interruption() {
  return noted;
}

void clear_interruption() {
  noted = 0;
  char bytes[64];
  while (read(pipe_ends[0], bytes, sizeof(bytes)) > 0) {
  }
}

int interruption_descriptor() {
  return pipe_ends[0];
}

void end_answer_on_signals() {
  note_on(SIGINT, SA_RESETHAND);
  note_on(SIGTERM, SA_RESETHAND);
}

void end_each_answer_on_interrupt() {
  note_on(SIGINT, 0);
}

}  // namespace forerun
