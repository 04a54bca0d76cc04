#pragma once

#include <boost/asio/steady_timer.hpp>
#include <limits>
#include <memory>
#include <unordered_set>

namespace forerun {

class Connection;

// The open connections, and one timer for all their time limits: an answer in tokens moves its own
// limit with every write, and a timer each would be reset as often.
class ConnectionSet final {
 public:
  explicit ConnectionSet(boost::asio::io_context& context) : timer_(context) {}

  void add(std::shared_ptr<Connection> connection);
  void remove(const std::shared_ptr<Connection>& connection);
  size_t size() const { return connections_.size(); }
  void close_all();

  // A connection wants to be asked at `time` (now_seconds()) whether it is late.
  void wake_at(double time);

 private:
  void sweep();

  std::unordered_set<std::shared_ptr<Connection>> connections_;
  boost::asio::steady_timer timer_;
  double wake_time_ = std::numeric_limits<double>::infinity();  // infinity: the timer rests
};

}  // namespace forerun
