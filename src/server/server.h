#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "server/access_record.h"
#include "server/exchange.h"
#include "server/router.h"
#include "server/server_options.h"

namespace forerun {

// The HTTP side of `forerun serve`: takes requests on a thread of its own, named "forerun-http",
// and hands those that its options let in to the router's handlers.
class Server final {
 public:
  explicit Server(const ServerOptions& options);
  ~Server();  // stop()

  // To the I/O thread. Jobs wait for listen(); after stop() they are let go unrun. Outlives the
  // server.
  PostToIo post_to_io() const;

  // Takes connections from now on, and returns; requests get a 503 until serve(). An Error: the
  // host has no address, or the port is in use. Once.
  Status listen(AccessLog access_log = {});
  // From now on requests are answered, by `router`. Once, after listen().
  void serve(Router router);

  int port() const;         // that it listens at
  std::string url() const;  // "http://127.0.0.1:8000"

  // From now on open paths are answered alone, and every other new request with a 503; requests in
  // hand go on. Connections are closed as their answers end.
  void drain();
  // Requests whose answer is not all sent.
  int requests_in_hand() const;

  // Closes everything; handlers are told that their clients are gone. Not from the I/O thread.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forerun
