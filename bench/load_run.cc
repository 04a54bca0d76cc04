#include "load_run.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/clock.h"
#include "event_text.h"
#include "response_reader.h"

namespace forerun {
namespace {

std::string last_error(const char* doing) {
  return std::string(doing) + ": " + std::strerror(errno);
}

// One connection and the request that is under way on it.
struct Connection {
  int socket = -1;
  size_t request_id = 0;
  bool busy = false;
  std::string unsent;
  ResponseReader reader;
  std::string body;         // what is not taken apart yet
  bool may_resend = false;  // it stood before this request, of which nothing is answered yet
};

class LoadRun final {
 public:
  LoadRun(const LoadTarget& target, const std::vector<std::string>& bodies, int concurrency)
      : target_(target), bodies_(bodies), answers_(bodies.size()), connections_(concurrency) {}
  ~LoadRun() {
    for (Connection& connection : connections_) close_socket(connection);
    if (poll_ >= 0) ::close(poll_);
  }
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  Result<std::vector<LoadAnswer>> run() {
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_ < 0) return Error{last_error("epoll_create1")};
    begin_ = now_seconds();
    for (Connection& connection : connections_) begin_next(connection);
    std::array<epoll_event, 64> events{};
    while (num_busy_ > 0) {
      const int count = epoll_wait(poll_, events.data(), events.size(), /*timeout=*/-1);
      if (count < 0 && errno != EINTR) return Error{last_error("epoll_wait")};
      for (int i = 0; i < count; ++i) {
        auto& connection = *static_cast<Connection*>(events[i].data.ptr);
        if ((events[i].events & EPOLLOUT) != 0 && !connection.unsent.empty()) send(connection);
        if ((events[i].events & ~EPOLLOUT) != 0) {
          receive(connection, /*until_end=*/(events[i].events & ~(EPOLLIN | EPOLLOUT)) != 0);
        }
      }
    }
    return std::move(answers_);
  }

 private:
  double elapsed() const { return now_seconds() - begin_; }
  LoadAnswer& answer_of(const Connection& connection) { return answers_[connection.request_id]; }

  static void close_socket(Connection& connection) {
    if (connection.socket >= 0) ::close(connection.socket);
    connection.socket = -1;
  }

  // The next request that is left, on this connection.
  void begin_next(Connection& connection) {
    while (next_ < bodies_.size()) {
      connection.request_id = next_++;
      connection.busy = true;
      ++num_busy_;
      begin_request(connection);
      if (connection.busy) return;
    }
  }

  void begin_request(Connection& connection) {
    connection.reader = {};
    connection.body.clear();
    const std::string& body = bodies_[connection.request_id];
    connection.unsent =
        "POST " + target_.path + " HTTP/1.1\r\nHost: " + target_.host +
        "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + body;
    answer_of(connection).begin = elapsed();
    connection.may_resend = connection.socket >= 0;
    if (connection.socket >= 0) {
      send(connection);
    } else if (!connect(connection)) {
      finish(connection, last_error("connect"));
    }
  }

  // What is unsent goes out as soon as the connection stands.
  bool connect(Connection& connection) {
    connection.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection.socket < 0) return false;
    const int on = 1;
    setsockopt(connection.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(target_.port));
    inet_pton(AF_INET, target_.host.c_str(), &address.sin_addr);
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(connection.socket, where, sizeof(address)) != 0 && errno != EINPROGRESS) {
      return false;
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &connection;
    return epoll_ctl(poll_, EPOLL_CTL_ADD, connection.socket, &event) == 0;
  }

  void send(Connection& connection) {
    while (!connection.unsent.empty()) {
      const ssize_t sent = ::send(connection.socket, connection.unsent.data(),
                                  connection.unsent.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno != EAGAIN && errno != ENOTCONN) lose(connection, last_error("send"));
        return;
      }
      connection.unsent.erase(0, sent);
    }
  }

  // A short read has emptied the socket; edge-triggered polling tells of what comes later. Not so
  // when the end has come with it, which is told once: then reading goes on until there.
  void receive(Connection& connection, bool until_end) {
    while (connection.socket >= 0) {
      const ssize_t count = recv(connection.socket, piece_.data(), piece_.size(), 0);
      if (count < 0) {
        if (errno != EAGAIN) lose(connection, last_error("recv"));
        return;
      }
      if (count == 0) {
        connection.reader.take_end();
        return lose(connection, "the connection was closed before the answer was complete");
      }
      if (!connection.busy) return lose(connection, "");
      take(connection, std::string_view(piece_.data(), count));
      if (!until_end && count < static_cast<ssize_t>(piece_.size())) return;
    }
  }

  void take(Connection& connection, std::string_view bytes) {
    connection.may_resend = false;
    const Status status = connection.reader.take(bytes, connection.body);
    if (!status.ok()) return lose(connection, status.error().message);
    take_events(connection);
    if (!connection.reader.complete()) return;
    if (!connection.reader.keeps_connection()) close_socket(connection);
    finish(connection, "");
  }

  // Takes whole events off the body. An answer that is no stream stays, to be read at its end.
  void take_events(Connection& connection) {
    if (!connection.body.starts_with("data:")) return;
    LoadAnswer& answer = answer_of(connection);
    const double now = elapsed();
    size_t begin = 0;
    for (size_t end; (end = connection.body.find("\n\n", begin)) != std::string::npos;
         begin = end + 2) {
      const std::string_view event(connection.body.data() + begin, end - begin);
      if (carries_text(event)) answer.arrivals.push_back(now);
      if (const int64_t tokens = completion_tokens(event); tokens > 0) answer.tokens = tokens;
      if (event.starts_with("data: {\"error\"")) answer.error = event.substr(0, 300);
    }
    connection.body.erase(0, begin);
  }

  // The connection is gone. A server may close one that idles while the next request is on its
  // way; that one is sent again on a new connection.
  void lose(Connection& connection, const std::string& why) {
    close_socket(connection);
    if (!connection.busy) return;
    if (connection.may_resend) return begin_request(connection);
    finish(connection, connection.reader.complete() ? "" : why);
  }

  void finish(Connection& connection, std::string error) {
    LoadAnswer& answer = answer_of(connection);
    answer.end = elapsed();
    answer.status = connection.reader.status();
    if (!error.empty()) answer.error = std::move(error);
    if (answer.status == 200 && answer.arrivals.empty()) {
      answer.tokens = completion_tokens(connection.body);
      answer.arrivals.push_back(answer.end);
    }
    if (answer.error.empty() && answer.status != 200) answer.error = connection.body.substr(0, 300);
    connection.busy = false;
    --num_busy_;
    begin_next(connection);
  }

  const LoadTarget& target_;
  const std::vector<std::string>& bodies_;
  std::vector<LoadAnswer> answers_;
  std::vector<Connection> connections_;
  std::array<char, 65536> piece_{};
  int poll_ = -1;
  size_t next_ = 0;
  int num_busy_ = 0;
  double begin_ = 0.0;
};

}  // namespace

Result<LoadTarget> parse_target(const std::string& url) {
  const std::string_view scheme = "http://";
  if (!url.starts_with(scheme)) return Error{"\"" + url + "\" does not begin with http://"};
  const size_t slash = std::min(url.find('/', scheme.size()), url.size());
  const std::string authority = url.substr(scheme.size(), slash - scheme.size());
  const size_t colon = authority.find(':');
  LoadTarget target;
  target.host = authority.substr(0, colon);
  target.path = slash == url.size() ? "/" : url.substr(slash);
  in_addr address{};
  if (inet_pton(AF_INET, target.host.c_str(), &address) != 1) {
    return Error{"\"" + target.host + "\" is not an IPv4 address"};
  }
  const std::string port = colon == std::string::npos ? "80" : authority.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), target.port);
  if (error != std::errc() || end != port.data() + port.size() || target.port < 1 ||
      target.port > 65535) {
    return Error{"\"" + port + "\" is not a port"};
  }
  return target;
}

Result<std::vector<LoadAnswer>> run_load(const LoadTarget& target,
                                         const std::vector<std::string>& bodies, int concurrency) {
  return LoadRun(target, bodies, concurrency).run();
}

}  // namespace forerun
