// How a connection's answers go out.

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <cstdio>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "server/connection.h"
#include "server/errors.h"
#include "server/response_head.h"

namespace forerun {
namespace {

// What a client gets to read its last answer before the connection is closed. Closed sooner, with
// something of its own still unread here, it would be told of a reset and lose the answer.
constexpr double kLingerSeconds = 2.0;
constexpr int kClientLeft = 499;  // as nginx logs it

ResponseHead::Body body_kind(const AnswerInHand& answer) {
  if (is_bodiless(answer.status)) return ResponseHead::Body::kNone;
  if (!answer.stream) return ResponseHead::Body::kLength;
  return answer.chunked() ? ResponseHead::Body::kChunked : ResponseHead::Body::kUntilClose;
}

std::string chunk_size_line(size_t bytes) {
  char line[24];
  std::snprintf(line, sizeof(line), "%zx\r\n", bytes);
  return line;
}

}  // namespace

void Connection::send_head(const HttpResponse& response) {
  if (service_.phase == ServerPhase::kDraining || !answer_->keep_alive) close_after_ = true;
  answer_->status = response.status;
  const ResponseHead::Body body = body_kind(*answer_);
  if (body == ResponseHead::Body::kUntilClose) close_after_ = true;
  ResponseHead head = {.status = response.status,
                       .content_type = response.content_type,
                       .body = body,
                       .length = response.body.size(),
                       .connection = close_after_        ? "close"
                                     : answer_->http_1_0 ? "keep-alive"
                                                         : "",
                       .headers = response.headers};
  head.headers.emplace_back("X-Request-Id", answer_->request_id);
  head.headers.insert(head.headers.end(), answer_->cors_headers.begin(),
                      answer_->cors_headers.end());
  output_.add(format_head(head));
}

void Connection::send_reply(HttpResponse response) {
  if (phase_ == Phase::kClosed) return;
  send_head(response);
  if (!answer_->head_only() && !is_bodiless(response.status)) {
    answer_->body_bytes = response.body.size();
    output_.add(response.body);
  }
  end_answer();
}

void Connection::send_stream_head(const std::string& content_type) {
  if (phase_ == Phase::kClosed) return;
  answer_->stream = true;
  // Caches and proxies that gather would hold tokens back.
  send_head({.content_type = content_type,
             .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
  flush();
}

void Connection::send_piece(const std::string& bytes) {
  if (phase_ == Phase::kClosed || dropping_ || bytes.empty() || answer_->head_only()) return;
  if (output_.size() > static_cast<size_t>(service_.options.max_buffered_bytes)) {
    log(LogLevel::kWarning, "a client is too far behind its stream and is dropped",
        {{"request", answer_->request_id}});
    dropping_ = true;
    // Not here: the handler that writes would be told of its client's leaving in the midst of it.
    service_.post([self = shared_from_this()] { self->drop(); });
    return;
  }
  answer_->body_bytes += bytes.size();
  if (answer_->chunked()) output_.add(chunk_size_line(bytes.size()));
  output_.add(bytes);
  if (answer_->chunked()) output_.add("\r\n");
  flush();
}

void Connection::send_stream_end() {
  // With an end, a stream that lacks a piece would look whole.
  if (phase_ == Phase::kClosed || dropping_) return;
  // An empty chunk ends a body.
  if (answer_->chunked() && !answer_->head_only()) output_.add("0\r\n\r\n");
  end_answer();
}

void Connection::give_up_answer() {
  if (phase_ == Phase::kClosed || !answer_ || answer_->ended) return;
  // A stream without an end is all that can still be told of what went wrong.
  if (answer_->stream) return close();
  send_reply(error_response(500, "The server failed to answer this request."));
}

void Connection::end_answer() {
  answer_->ended = true;
  log_answer();
  flush();
}

void Connection::log_answer() {
  if (!service_.access_log || (phase_ == Phase::kClosed && answer_->ended)) return;
  service_.access_log({.method = answer_->method,
                       .path = answer_->path,
                       .route = answer_->route,
                       .status = answer_->status == 0 ? kClientLeft : answer_->status,
                       .complete = answer_->ended,
                       .body_bytes = answer_->body_bytes,
                       .seconds = now_seconds() - answer_->begin_time,
                       .request_id = answer_->request_id});
}

// Sends what there is, if nothing is being sent: what comes meanwhile goes together in one write.
void Connection::flush() {
  if (writing_ || output_.size() == 0 || phase_ == Phase::kClosed) return;
  writing_ = true;
  write_deadline_ = now_seconds() + service_.options.write_seconds;
  service_.connections.wake_at(write_deadline_);
  const std::string_view front = output_.front();
  socket_.async_write_some(
      boost::asio::buffer(front.data(), front.size()),
      [self = shared_from_this()](const boost::system::error_code& error, size_t bytes) {
        self->on_written(error, bytes);
      });
}

void Connection::on_written(const boost::system::error_code& error, size_t bytes) {
  writing_ = false;
  write_deadline_ = kNever;
  if (phase_ == Phase::kClosed) return;
  if (error) return close();
  output_.taken(bytes);
  if (output_.size() > 0) return flush();
  if (phase_ == Phase::kAnswering && answer_->ended) next_request();
}

void Connection::linger() {
  if (input_ended_) return close();
  boost::system::error_code error;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, error);
  if (error) return close();
  std::string().swap(input_);
  enter(Phase::kLingering, kLingerSeconds);
  watch();
}

}  // namespace forerun
