#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <mutex>

#include "server/exchange.h"

namespace forerun {

// The queue of the I/O thread. Shared by all who post to it: a worker may still hold an exchange
// when the server is gone.
class IoLoop final {
 public:
  boost::asio::io_context& context() { return context_; }

  // From any thread. After close() jobs are let go without being run.
  void post(std::function<void()> job);

  // On the I/O thread: runs what comes until stop(). An exception that a job lets out is logged.
  void run();
  // From any thread.
  void stop() { context_.stop(); }
  // Once nobody runs it: what is still queued is run here, which lets go of what it holds.
  void close();

 private:
  boost::asio::io_context context_{1};
  std::mutex mutex_;
  bool closed_ = false;
};

PostToIo post_to(std::shared_ptr<IoLoop> loop);

}  // namespace forerun
