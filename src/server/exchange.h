#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/http_message.h"

namespace forerun {

// One request and the way of its answer: either reply() once, or begin_stream(), any number of
// write()s and end_stream(). A handler keeps the pointer for as long as it has something to say;
// an exchange let go without an answer gives the client a 500.
//
// Everything is called on the I/O thread and returns at once: what the client does not take yet is
// kept in the exchange's own buffer. Once the client is gone, calls have no effect.
class Exchange {
 public:
  virtual ~Exchange() = default;
  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  virtual const HttpRequest& request() const = 0;

  virtual void reply(HttpResponse response) = 0;

  // Sends the head of an answer whose length is not known ("text/event-stream").
  virtual void begin_stream(const std::string& content_type) = 0;
  virtual void write(std::string bytes) = 0;
  virtual void end_stream() = 0;

  // Called once, when the client goes away, or falls further behind than the buffer holds, before
  // the answer is complete. Told at once if that has already happened.
  virtual void on_abandoned(std::function<void()> callback) = 0;
};

using ExchangePtr = std::shared_ptr<Exchange>;
using Handler = std::function<void(ExchangePtr)>;

// Runs a job on the I/O thread, from any thread; jobs run in the order they came.
using PostToIo = std::function<void(std::function<void()>)>;

}  // namespace forerun
