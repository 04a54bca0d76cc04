#include "stream_answer.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "interruption.h"

namespace forerun {

void Output::write(std::string_view text) {
  if (failed() || text.empty()) return;
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) failed_with_ = errno != 0 ? errno : EIO;
}

Error Output::error() const {
  return Error{std::string("cannot write the answer: ") + std::strerror(failed_with_)};
}

Status stream_answer(Engine& engine, Request request, bool stream, Answer& answer, Output& output) {
  request.on_token = [&](const TokenEvent& event) {
    const std::string_view fresh = answer.add(event);
    if (stream) output.write(fresh);
  };
  request.on_finish = [&](const FinishEvent& event) {
    const std::string_view fresh = answer.finish(event);
    if (stream) output.write(fresh);
  };
  answer.begin();
  const Result<RequestId> id = engine.add(std::move(request));
  if (!id.ok()) return id.error();
  while (engine.step()) {
    if (interruption() != 0 || output.failed()) engine.cancel(*id);
  }
  answer.end();
  return {};
}

}  // namespace forerun
