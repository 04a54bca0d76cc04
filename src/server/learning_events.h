#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/exchange.h"

namespace forerun {

// What a loop that learns has told of late, and the clients that follow it by server-sent events.
// Lives on the I/O thread, but for its making.
class LearningEvents final : public std::enable_shared_from_this<LearningEvents> {
 public:
  static constexpr size_t kMostKept = 1000;

  // `past`: what was told before, oldest first.
  explicit LearningEvents(const std::vector<Json>& past);

  // To all who follow.
  void add(const Json& event);
  // The last `count`, oldest first.
  Json last(size_t count) const;

  // Streams the last `count` and then each that comes, until the client goes or end(). An event's
  // id is its number, those of the past included.
  void follow(const ExchangePtr& exchange, size_t count);
  // To be called about once a second, `now` in seconds: every 15 s a comment goes to all streams,
  // so that nobody on the way takes a silent one for dead.
  void beat(double now);
  // Of all streams, before the server waits for its requests to end.
  void end();

  size_t num_followers() const { return streams_.size(); }

 private:
  struct Kept {
    int64_t id = 0;
    Json event;
  };
  static std::string text(const Kept& kept);
  void keep(const Json& event);
  size_t first_of(size_t count) const;

  std::deque<Kept> events_;
  int64_t next_id_ = 1;
  double beat_time_ = 0.0;
  std::vector<ExchangePtr> streams_;
};

}  // namespace forerun
