#include "server/connection.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "server/errors.h"

namespace forerun {
namespace {

struct SocketOption {
  int level;
  int name;
  int value;
};

// A client whose machine or network is gone says nothing more, not even good-bye. Where nothing is
// under way the kernel asks it now and then; where something is, that must be acknowledged in time.
void set_options(int socket, const ServerOptions& options) {
  const int patience_ms = static_cast<int>(std::clamp(options.write_seconds, 1.0, 86400.0) * 1000);
  const SocketOption wanted[] = {
      {IPPROTO_TCP, TCP_NODELAY, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1},
      {IPPROTO_TCP, TCP_KEEPIDLE, 30}, {IPPROTO_TCP, TCP_KEEPINTVL, 10},
      {IPPROTO_TCP, TCP_KEEPCNT, 3},   {IPPROTO_TCP, TCP_USER_TIMEOUT, patience_ms}};
  for (const SocketOption& option : wanted) {
    // What the kernel does not know is done without.
    (void)setsockopt(socket, option.level, option.name, &option.value, sizeof(option.value));
  }
}

}  // namespace

Connection::Connection(HttpService& service, boost::asio::ip::tcp::socket socket)
    : service_(service), socket_(std::move(socket)) {
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
  set_options(socket_.native_handle(), service_.options);
}

Connection::~Connection() = default;

void Connection::start() {
  // Who connects and then says nothing has no more time than for a head.
  enter(Phase::kIdle, service_.options.header_seconds);
  watch();
}

void Connection::refuse(const HttpResponse& response) {
  request_time_ = now_seconds();
  begin_answer();
  close_after_ = true;
  send_reply(response);
}

void Connection::enter(Phase phase, double limit_seconds) {
  phase_ = phase;
  phase_deadline_ = now_seconds() + limit_seconds;
  if (limit_seconds < kNever) service_.connections.wake_at(phase_deadline_);
}

double Connection::deadline() const {
  return std::min(phase_deadline_, write_deadline_);
}

void Connection::check_deadline() {
  const double now = now_seconds();
  if (phase_ == Phase::kClosed || now < deadline()) return;
  if (now >= write_deadline_) {
    log(LogLevel::kWarning, "a client takes nothing of its answer and is dropped");
    return drop();
  }
  if (phase_ == Phase::kHead || phase_ == Phase::kBody) {
    const char* part = phase_ == Phase::kHead ? "head" : "body";
    return reject(error_response(
        408, "The request's " + std::string(part) + " did not arrive in the time that it has."));
  }
  close();
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  phase_ = Phase::kClosed;
  phase_deadline_ = write_deadline_ = kNever;
  boost::system::error_code ignored;
  socket_.close(ignored);
  service_.connections.remove(self);
  if (!answer_) return;
  log_answer();
  answer_.reset();
  --service_.requests_in_hand;
  const auto exchange = exchange_.lock();
  if (!exchange) return;
  try {
    exchange->abandon();
  } catch (const std::exception& error) {
    log(LogLevel::kError, "a handler failed at a client's leaving", {{"error", error.what()}});
  }
}

// The kernel is not to go on trying either.
void Connection::drop() {
  boost::system::error_code ignored;
  socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  close();
}

}  // namespace forerun
