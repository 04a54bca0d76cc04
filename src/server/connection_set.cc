#include "server/connection_set.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "server/connection.h"

namespace forerun {
namespace {

// Limits are in seconds; nobody minds a twentieth.
constexpr double kGranularitySeconds = 0.05;
constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

void ConnectionSet::add(std::shared_ptr<Connection> connection) {
  connections_.insert(std::move(connection));
}

void ConnectionSet::remove(const std::shared_ptr<Connection>& connection) {
  connections_.erase(connection);
}

void ConnectionSet::close_all() {
  const std::vector<std::shared_ptr<Connection>> open(connections_.begin(), connections_.end());
  for (const auto& connection : open) connection->close();
  timer_.cancel();
}

void ConnectionSet::wake_at(double time) {
  time = std::max(time, now_seconds() + kGranularitySeconds);
  if (time >= wake_time_) return;
  wake_time_ = time;
  const auto wait = std::chrono::duration<double>(std::min(time - now_seconds(), 1e6));
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(wait));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) sweep();
  });
}

void ConnectionSet::sweep() {
  wake_time_ = kNever;
  double earliest = kNever;
  const std::vector<std::shared_ptr<Connection>> open(connections_.begin(), connections_.end());
  for (const auto& connection : open) {
    connection->check_deadline();
    earliest = std::min(earliest, connection->deadline());
  }
  if (earliest < kNever) wake_at(earliest);
}

}  // namespace forerun
