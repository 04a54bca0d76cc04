#include "server/io_loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "base/log.h"

namespace forerun {

void IoLoop::post(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (!closed_) boost::asio::post(context_, std::move(job));
}

void IoLoop::run() {
  const auto work = boost::asio::make_work_guard(context_);
  while (!context_.stopped()) {
    try {
      context_.run();
    } catch (const std::exception& error) {
      log(LogLevel::kError, "a job of the I/O thread failed", {{"error", error.what()}});
    }
  }
}

void IoLoop::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  context_.restart();
  for (bool more = true; more;) {
    try {
      context_.poll();
      more = false;
    } catch (const std::exception& error) {
      log(LogLevel::kError, "a job of the I/O thread failed", {{"error", error.what()}});
    }
  }
}

PostToIo post_to(std::shared_ptr<IoLoop> loop) {
  return [loop = std::move(loop)](std::function<void()> job) { loop->post(std::move(job)); };
}

}  // namespace forerun
