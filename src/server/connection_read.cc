// How a connection's requests come in.

#include <cstdio>
#include <exception>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "base/log.h"
#include "server/admit_request.h"
#include "server/connection.h"
#include "server/errors.h"

namespace forerun {
namespace {

// What a client may send ahead while a request is being answered. More waits in its own socket, and
// hides its leaving until the next write.
constexpr size_t kMaxAheadBytes = 64 << 10;

bool is_request_id(std::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  for (const char c : id) {
    if (c < ' ' || c > '~') return false;
  }
  return true;
}

std::string draw_request_id(std::mt19937_64& source) {
  char id[33];
  std::snprintf(id, sizeof(id), "%016llx%016llx", static_cast<unsigned long long>(source()),
                static_cast<unsigned long long>(source()));
  return id;
}

HttpResponse too_many_large() {
  HttpResponse response =
      error_response(503, "Too many large requests are under way; try again later.");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

HttpResponse too_large(const ServerOptions& options) {
  return error_response(413, "The request's body is larger than " +
                                 std::to_string(options.max_body_bytes) + " bytes.");
}

}  // namespace

void Connection::watch() {
  if (watching_ || input_ended_ || phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kAnswering && input_.size() >= kMaxAheadBytes) return;
  watching_ = true;
  socket_.async_wait(boost::asio::socket_base::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->watching_ = false;
                       if (!error) self->on_readable();
                     });
}

void Connection::on_readable() {
  if (phase_ == Phase::kClosed) return;
  boost::system::error_code error;
  const size_t bytes = socket_.read_some(boost::asio::buffer(service_.read_buffer), error);
  if (error == boost::asio::error::would_block) return watch();
  if (error == boost::asio::error::eof) return on_end_of_input();
  if (error) return close();
  if (phase_ != Phase::kLingering) input_.append(service_.read_buffer.data(), bytes);
  if (phase_ != Phase::kLingering && phase_ != Phase::kAnswering) read_request();
  if (input_.empty()) std::string().swap(input_);  // an assigned one would keep its memory
  watch();
}

// The client will send no more. It may have closed, or only its sending half, and still read: TCP
// does not tell until something is sent. We take it for gone, as nginx, Go's server and uvicorn do:
// most who end their input have left, and a request that waits for the model would otherwise hold
// its place and its keys and values until it speaks. What is answered at once is still sent, so
// that `printf … | nc -N` gets it, also of requests that were sent ahead.
void Connection::on_end_of_input() {
  input_ended_ = true;
  if (!sends_ended_answer()) close();
}

bool Connection::sends_ended_answer() const {
  return phase_ == Phase::kAnswering && answer_ && answer_->ended;
}

void Connection::read_request() {
  if (input_.empty()) return;
  if (phase_ == Phase::kIdle) {
    reader_ = std::make_unique<RequestReader>(service_.options);
    body_share_ = BodyShare(service_.body_budget);
    request_time_ = now_seconds();
    enter(Phase::kHead, service_.options.header_seconds);
  }
  for (;;) {
    const RequestReader::Step step = reader_->read(input_);
    if (!body_share_.grow_to(static_cast<int64_t>(reader_->request().body.size()))) {
      return reject(too_many_large());
    }
    switch (step) {
      case RequestReader::Step::kNeedMore:
        return;
      case RequestReader::Step::kFailed: {
        const RequestReader::Failure failure = reader_->failure();
        return reject(error_response(failure.status, failure.message));
      }
      case RequestReader::Step::kHead:
        if (!admit_head()) return;
        break;
      case RequestReader::Step::kWhole:
        return dispatch();
    }
  }
}

// False: it has been answered.
bool Connection::admit_head() {
  HttpRequest& request = reader_->request();
  const Admission admission = {service_.router, service_.keys, service_.cors, service_.phase};
  auto admitted = admit_request(admission, request);
  if (auto* refusal = std::get_if<HttpResponse>(&admitted)) {
    reject(std::move(*refusal));
    return false;
  }
  route_ = std::get<const Route*>(admitted);
  if (reader_->content_length() > static_cast<uint64_t>(service_.options.max_body_bytes)) {
    reject(too_large(service_.options));
    return false;
  }
  if (reader_->has_body()) {
    enter(Phase::kBody, service_.options.body_seconds);
    if (reader_->expects_continue() && input_.empty()) {
      output_.add("HTTP/1.1 100 Continue\r\n\r\n");
      flush();
    }
  }
  return phase_ != Phase::kClosed;
}

// From here on an answer is owed. Everything that it needs is copied out of the reader, which goes.
void Connection::begin_answer() {
  answer_.emplace();
  answer_->begin_time = request_time_;
  ++service_.requests_in_hand;
  if (route_ != nullptr) answer_->route = route_->pattern;
  if (reader_ != nullptr) {
    const HttpRequest& request = reader_->request();
    answer_->method = request.method;
    answer_->path = request.path;
    answer_->cors_headers = service_.cors.headers(request.headers);
    answer_->http_1_0 = reader_->is_http_1_0();
    if (const auto id = find_header(request.headers, "X-Request-Id"); id && is_request_id(*id)) {
      answer_->request_id = *id;
    }
  }
  if (answer_->request_id.empty()) answer_->request_id = draw_request_id(service_.request_ids);
  enter(Phase::kAnswering);
}

void Connection::dispatch() {
  begin_answer();
  answer_->keep_alive = reader_->keep_alive();
  HttpRequest request = std::move(reader_->request());
  request.id = answer_->request_id;
  reader_.reset();
  const auto exchange = std::make_shared<HttpExchange>(
      weak_from_this(), service_.post, std::move(request), std::exchange(body_share_, BodyShare()));
  exchange_ = exchange;
  const Route* route = std::exchange(route_, nullptr);
  try {
    route->handle(exchange);
  } catch (const std::exception& error) {
    log(LogLevel::kError, "a handler failed", {{"route", route->pattern}, {"error", error.what()}});
    exchange->fail();
  }
}

// Answers a request that no handler sees.
void Connection::reject(HttpResponse response) {
  begin_answer();
  route_ = nullptr;
  // What is not read of it cannot be told from a next request.
  const bool whole =
      reader_->failure().message.empty() && response.status != 408 && !reader_->has_body();
  answer_->keep_alive = whole && reader_->keep_alive();
  reader_.reset();
  body_share_ = BodyShare();
  send_reply(std::move(response));
}

void Connection::next_request() {
  answer_.reset();
  --service_.requests_in_hand;
  exchange_.reset();
  if (close_after_) return linger();
  enter(Phase::kIdle, service_.options.idle_seconds);
  read_request();
  if (input_.empty()) std::string().swap(input_);
  if (input_ended_ && !sends_ended_answer()) return close();
  watch();
}

}  // namespace forerun
