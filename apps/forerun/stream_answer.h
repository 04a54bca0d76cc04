#pragma once

#include <string_view>

#include "answer.h"
#include "engine/engine.h"

namespace forerun {

// Standard output, and the first failure of writing to it.
class Output final {
 public:
  void write(std::string_view text);
  bool failed() const { return failed_with_ != 0; }
  Error error() const;

 private:
  int failed_with_ = 0;
};

// Runs the request to its end, or to an interruption; `stream` writes the text as it comes. An
// Error when the engine does not take the request.
Status stream_answer(Engine& engine, Request request, bool stream, Answer& answer, Output& output);

}  // namespace forerun
