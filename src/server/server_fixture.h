#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/server.h"

namespace forerun {

// An answer as a client sees it.
struct ClientAnswer {
  int status = 0;  // 0: the connection ended before one came
  HttpHeaders headers;
  std::string body;
  bool complete = false;  // as its head promised

  std::string header(std::string_view name) const {
    return std::string(find_header(headers, name).value_or(""));
  }
};

// A client that sends bytes as they are, over a blocking socket.
class RawClient final {
 public:
  explicit RawClient(int port, int receive_buffer_bytes = 0);
  ~RawClient();

  void send(const std::string& bytes) const;
  // With a Host header and a Content-Length where there is a body; `headers` end in CR LF each.
  void request(const std::string& method, const std::string& target,
               const std::string& headers = {}, const std::string& body = {}) const;
  // `to_head`: of a request by HEAD, without a body.
  ClientAnswer answer(bool to_head = false);
  ClientAnswer get(const std::string& target, const std::string& headers = {});
  // Some bytes, or none at the connection's end.
  std::string some();
  bool has_some() const;  // or the connection's end, by now
  // Everything up to `text` and with it.
  std::string until(const std::string& text);
  bool ended() { return some().empty(); }

  void half_close() const;
  void close();
  void reset();

 private:
  bool fill();
  bool read_head(ClientAnswer& answer);
  void read_chunks(ClientAnswer& answer);

  int socket_ = -1;
  std::string input_;
};

// Waits for something that happens on the I/O thread, each time anew.
class Signal final {
 public:
  void set();
  void wait();    // fails the test after 20 s
  bool is_set();  // and not yet waited for

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

// A server with handlers for tests:
//   POST /echo         the body, with what came along in X-… headers
//   GET  /open         by anyone
//   POST /admin        by the admin
//   GET  /throw        throws
//   GET  /forget       lets go of the exchange, on another thread
//   GET  /items/{name} the name
//   GET  /stream       a stream of "one" "two"
//   GET  /throw_late   begins a stream and throws
//   GET, POST /wait    keeps the exchange in `waiting`
//   GET  /wait_stream  begins a stream and does the same
class TestServer final {
 public:
  explicit TestServer(const ServerOptions& options = {});
  ~TestServer();

  int port() const { return server->port(); }
  void run_on_io(const std::function<void()>& job);  // and waits for it
  // What the last request to /wait or /wait_stream has come as; waits for it.
  ExchangePtr arrival();
  std::vector<AccessRecord> records();

  Signal arrived;    // at /wait or /wait_stream
  Signal abandoned;  // one that waits
  ExchangePtr waiting;
  std::unique_ptr<Server> server;

 private:
  Router routes();

  std::mutex mutex_;
  std::vector<AccessRecord> records_;
};

}  // namespace forerun
