#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/body_budget.h"
#include "server/exchange.h"

namespace forerun {

// Where an exchange's answer goes: its connection.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual void send_reply(HttpResponse response) = 0;
  virtual void send_stream_head(const std::string& content_type) = 0;
  virtual void send_piece(const std::string& bytes) = 0;
  virtual void send_stream_end() = 0;
  // The answer was not ended and never will be.
  virtual void give_up_answer() = 0;
};

// Holds its connection weakly: once the client is gone, there is nothing to call.
class HttpExchange final : public Exchange {
 public:
  HttpExchange(std::weak_ptr<AnswerWriter> writer, PostToIo post, HttpRequest request,
               BodyShare body_share);
  // On any thread: a worker may be the last to let go.
  ~HttpExchange() override;

  const HttpRequest& request() const override { return request_; }
  void reply(HttpResponse response) override;
  void begin_stream(const std::string& content_type) override;
  void write(std::string bytes) override;
  void end_stream() override;
  void on_abandoned(std::function<void()> callback) override;

  // By the connection, when the client is gone.
  void abandon();
  // By the connection, when the handler has thrown: gives up the answer if it has not ended.
  void fail();

 private:
  enum class State : uint8_t { kWaiting, kStreaming, kEnded, kAbandoned };

  void end();

  const std::weak_ptr<AnswerWriter> writer_;
  const PostToIo post_;
  const HttpRequest request_;
  const BodyShare body_share_;  // of the request's body
  State state_ = State::kWaiting;
  std::function<void()> on_abandoned_;
};

}  // namespace forerun
