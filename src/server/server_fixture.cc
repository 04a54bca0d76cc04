#include "server/server_fixture.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

namespace forerun {

RawClient::RawClient(int port, int receive_buffer_bytes)
    : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  // A test that waits for what never comes fails rather than hangs.
  const timeval patience = {20, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  if (receive_buffer_bytes > 0) {
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ADD_FAILURE() << "cannot connect to port " << port;
  }
}

RawClient::~RawClient() {
  close();
}

void RawClient::send(const std::string& bytes) const {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;  // the server has closed; what it answered may still be read
    sent += static_cast<size_t>(count);
  }
}

void RawClient::request(const std::string& method, const std::string& target,
                        const std::string& headers, const std::string& body) const {
  std::string text = method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + headers;
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  send(text + "\r\n" + body);
}

bool RawClient::fill() {
  char bytes[16 << 10];
  const ssize_t count = recv(socket_, bytes, sizeof(bytes), 0);
  if (count < 0 && errno == EAGAIN) ADD_FAILURE() << "the server says nothing";
  if (count <= 0) return false;
  input_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::string RawClient::some() {
  if (input_.empty()) fill();
  return std::exchange(input_, {});
}

bool RawClient::has_some() const {
  pollfd waiting = {socket_, POLLIN, 0};
  return !input_.empty() || poll(&waiting, 1, /*timeout=*/0) > 0;
}

std::string RawClient::until(const std::string& text) {
  size_t begin = 0;
  while ((begin = input_.find(text)) == std::string::npos) {
    if (!fill()) return std::exchange(input_, {});
  }
  const std::string all = input_.substr(0, begin + text.size());
  input_.erase(0, all.size());
  return all;
}

bool RawClient::read_head(ClientAnswer& answer) {
  size_t end = 0;
  while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return false;
  }
  answer.status = std::stoi(input_.substr(9, 3));
  size_t line = input_.find("\r\n") + 2;
  while (line < end + 2) {
    const size_t colon = input_.find(": ", line);
    const size_t line_end = input_.find("\r\n", line);
    answer.headers.emplace_back(input_.substr(line, colon - line),
                                input_.substr(colon + 2, line_end - colon - 2));
    line = line_end + 2;
  }
  input_.erase(0, end + 4);
  return true;
}

void RawClient::read_chunks(ClientAnswer& answer) {
  for (;;) {
    size_t line_end = 0;
    while ((line_end = input_.find("\r\n")) == std::string::npos) {
      if (!fill()) return;
    }
    const size_t size = std::stoul(input_, nullptr, 16);
    while (input_.size() < line_end + 2 + size + 2) {
      if (!fill()) return;
    }
    answer.body += input_.substr(line_end + 2, size);
    input_.erase(0, line_end + 2 + size + 2);
    if (size == 0) break;
  }
  answer.complete = true;
}

ClientAnswer RawClient::answer(bool to_head) {
  ClientAnswer answer;
  if (!read_head(answer)) return answer;
  if (to_head || answer.status == 204 || answer.status == 100) {
    answer.complete = true;
  } else if (answer.header("Transfer-Encoding") == "chunked") {
    read_chunks(answer);
  } else if (const std::string length = answer.header("Content-Length"); !length.empty()) {
    while (input_.size() < std::stoul(length) && fill()) continue;
    answer.body = input_.substr(0, std::stoul(length));
    answer.complete = answer.body.size() == std::stoul(length);
    input_.erase(0, answer.body.size());
  } else {
    while (fill()) continue;
    answer.body = std::exchange(input_, {});
    answer.complete = true;
  }
  return answer;
}

ClientAnswer RawClient::get(const std::string& target, const std::string& headers) {
  request("GET", target, headers);
  return answer();
}

void RawClient::half_close() const {
  shutdown(socket_, SHUT_WR);
}

void RawClient::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void RawClient::reset() {
  const linger at_once = {1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close();
}

void Signal::set() {
  const std::lock_guard lock(mutex_);
  set_ = true;
  changed_.notify_all();
}

void Signal::wait() {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [this] { return set_; }));
  set_ = false;
}

bool Signal::is_set() {
  const std::lock_guard lock(mutex_);
  return set_;
}

TestServer::TestServer(const ServerOptions& options) {
  ServerOptions any_port = options;
  any_port.port = 0;
  server = std::make_unique<Server>(any_port);
  const Status status = server->listen([this](const AccessRecord& record) {
    const std::lock_guard lock(mutex_);
    records_.push_back(record);
  });
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  server->serve(routes());
}

TestServer::~TestServer() {
  server->stop();
}

std::vector<AccessRecord> TestServer::records() {
  const std::lock_guard lock(mutex_);
  return records_;
}

void TestServer::run_on_io(const std::function<void()>& job) {
  Signal done;
  server->post_to_io()([&] {
    job();
    done.set();
  });
  done.wait();
}

ExchangePtr TestServer::arrival() {
  arrived.wait();
  ExchangePtr exchange;
  run_on_io([&] { exchange = std::exchange(waiting, nullptr); });
  return exchange;
}

Router TestServer::routes() {
  Router router;
  router.add({"POST", "/echo", Access::kUser, [](const ExchangePtr& exchange) {
                const HttpRequest& request = exchange->request();
                const std::string salted = request.salt == 0 ? "0" : std::to_string(request.salt);
                exchange->reply({.content_type = "text/plain",
                                 .body = request.body,
                                 .headers = {{"X-Id", request.id}, {"X-Salt", salted}}});
              }});
  router.add({"GET", "/open", Access::kOpen,
              [](const ExchangePtr& exchange) { exchange->reply({.body = "{}"}); }});
  router.add({"POST", "/admin", Access::kAdmin,
              [](const ExchangePtr& exchange) { exchange->reply({.body = "{}"}); }});
  router.add({"GET", "/throw", Access::kUser,
              [](const ExchangePtr&) { throw std::runtime_error("thrown by a handler"); }});
  router.add({"GET", "/forget", Access::kUser, [](ExchangePtr exchange) {
                std::thread([held = std::move(exchange)]() mutable { held.reset(); }).detach();
              }});
  router.add({"GET", "/items/{name}", Access::kUser, [](const ExchangePtr& exchange) {
                exchange->reply({.body = exchange->request().path_parameters.at("name")});
              }});
  router.add({"GET", "/stream", Access::kUser, [](const ExchangePtr& exchange) {
                exchange->begin_stream("text/event-stream");
                exchange->write("one");
                exchange->write("");
                exchange->write("two");
                exchange->end_stream();
              }});
  router.add({"GET", "/throw_late", Access::kUser, [](const ExchangePtr& exchange) {
                exchange->begin_stream("text/event-stream");
                exchange->write("one");
                throw std::runtime_error("thrown by a handler");
              }});
  const auto keep = [this](const ExchangePtr& exchange) {
    waiting = exchange;
    exchange->on_abandoned([this] { abandoned.set(); });
    arrived.set();
  };
  router.add({"GET", "/wait", Access::kUser, keep});
  router.add({"POST", "/wait", Access::kUser, keep});
  router.add({"GET", "/wait_stream", Access::kUser, [keep](const ExchangePtr& exchange) {
                exchange->begin_stream("text/event-stream");
                keep(exchange);
              }});
  return router;
}

}  // namespace forerun
