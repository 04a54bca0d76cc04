#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/engine_thread.h"

namespace forerun {

// What is under way, under the names that /abort_request knows it by, each key's apart. On the I/O
// thread.
class RunningRequests final {
 public:
  void add(uint64_t salt, const std::string& id, EngineThread::Ticket ticket) {
    tickets_.emplace(std::pair(salt, id), ticket);
  }
  void remove(uint64_t salt, const std::string& id, EngineThread::Ticket ticket) {
    auto [begin, end] = tickets_.equal_range({salt, id});
    while (begin != end && begin->second != ticket) ++begin;
    if (begin != end) tickets_.erase(begin);
  }

  // Of one name; of all where `id` is null.
  std::vector<EngineThread::Ticket> find(uint64_t salt, const std::string* id) const {
    std::vector<EngineThread::Ticket> found;
    for (auto at = tickets_.lower_bound({salt, id == nullptr ? "" : *id});
         at != tickets_.end() && at->first.first == salt; ++at) {
      if (id != nullptr && at->first.second != *id) break;
      found.push_back(at->second);
    }
    return found;
  }

 private:
  std::multimap<std::pair<uint64_t, std::string>, EngineThread::Ticket> tickets_;
};

}  // namespace forerun
