#include "server/http_exchange.h"

#include <utility>

#include "base/check.h"

namespace forerun {

HttpExchange::HttpExchange(std::weak_ptr<AnswerWriter> writer, PostToIo post, HttpRequest request,
                           BodyShare body_share)
    : writer_(std::move(writer)),
      post_(std::move(post)),
      request_(std::move(request)),
      body_share_(std::move(body_share)) {}

HttpExchange::~HttpExchange() {
  if (state_ == State::kEnded || state_ == State::kAbandoned) return;
  post_([writer = writer_] {
    if (const auto connection = writer.lock()) connection->give_up_answer();
  });
}

// The callback may hold the exchange itself, so it is let go as soon as it cannot come any more.
void HttpExchange::end() {
  state_ = State::kEnded;
  const auto callback = std::exchange(on_abandoned_, nullptr);
}

void HttpExchange::reply(HttpResponse response) {
  if (state_ == State::kAbandoned) return;
  CHECK(state_ == State::kWaiting, "an exchange is answered once");
  end();
  if (const auto writer = writer_.lock()) writer->send_reply(std::move(response));
}

void HttpExchange::begin_stream(const std::string& content_type) {
  if (state_ == State::kAbandoned) return;
  CHECK(state_ == State::kWaiting, "an exchange is answered once");
  state_ = State::kStreaming;
  if (const auto writer = writer_.lock()) writer->send_stream_head(content_type);
}

void HttpExchange::write(std::string bytes) {
  if (state_ == State::kAbandoned) return;
  CHECK(state_ == State::kStreaming, "a stream is written to between its begin and its end");
  if (const auto writer = writer_.lock()) writer->send_piece(bytes);
}

void HttpExchange::end_stream() {
  if (state_ == State::kAbandoned) return;
  CHECK(state_ == State::kStreaming, "a stream is ended once, after its begin");
  end();
  if (const auto writer = writer_.lock()) writer->send_stream_end();
}

void HttpExchange::on_abandoned(std::function<void()> callback) {
  if (state_ == State::kAbandoned) return callback();
  if (state_ != State::kEnded) on_abandoned_ = std::move(callback);
}

void HttpExchange::abandon() {
  if (state_ == State::kEnded || state_ == State::kAbandoned) return;
  state_ = State::kAbandoned;
  if (const auto callback = std::exchange(on_abandoned_, nullptr)) callback();
}

void HttpExchange::fail() {
  if (state_ == State::kEnded || state_ == State::kAbandoned) return;
  state_ = State::kAbandoned;
  const auto callback = std::exchange(on_abandoned_, nullptr);
  if (const auto writer = writer_.lock()) writer->give_up_answer();
}

}  // namespace forerun
