#include "server/learning_events.h"

#include <algorithm>
#include <utility>

namespace forerun {
namespace {

constexpr double kBeatSeconds = 15.0;

}  // namespace

LearningEvents::LearningEvents(const std::vector<Json>& past) {
  for (const Json& event : past) keep(event);
}

void LearningEvents::keep(const Json& event) {
  events_.push_back({next_id_++, event});
  if (events_.size() > kMostKept) events_.pop_front();
}

void LearningEvents::add(const Json& event) {
  keep(event);
  const std::string told = text(events_.back());
  for (const ExchangePtr& stream : streams_) stream->write(told);
}

std::string LearningEvents::text(const Kept& kept) {
  const auto kind = kept.event.find("kind");
  const bool is_named = kind != kept.event.end() && kind->is_string();
  return "id: " + std::to_string(kept.id) +
         "\nevent: " + (is_named ? kind->get<std::string>() : "message") + "\ndata: " +
         kept.event.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false,
                         Json::error_handler_t::replace) +
         "\n\n";
}

size_t LearningEvents::first_of(size_t count) const {
  return events_.size() - std::min(count, events_.size());
}

Json LearningEvents::last(size_t count) const {
  Json found = Json::array();
  for (size_t i = first_of(count); i < events_.size(); ++i) found.push_back(events_[i].event);
  return found;
}

void LearningEvents::follow(const ExchangePtr& exchange, size_t count) {
  exchange->begin_stream("text/event-stream");
  if (exchange->request().method == "HEAD") return exchange->end_stream();
  std::string past;
  for (size_t i = first_of(count); i < events_.size(); ++i) past += text(events_[i]);
  exchange->write(std::move(past));
  streams_.push_back(exchange);
  exchange->on_abandoned([self = weak_from_this(), gone = exchange.get()] {
    if (const auto events = self.lock()) {
      std::erase_if(events->streams_, [&](const ExchangePtr& some) { return some.get() == gone; });
    }
  });
}

void LearningEvents::beat(double now) {
  if (now - beat_time_ < kBeatSeconds) return;
  beat_time_ = now;
  for (const ExchangePtr& stream : streams_) stream->write(": nothing new\n\n");
}

void LearningEvents::end() {
  for (const ExchangePtr& stream : std::exchange(streams_, {})) stream->end_stream();
}

}  // namespace forerun
