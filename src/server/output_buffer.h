#pragma once

#include <string>
#include <string_view>

namespace forerun {

// Bytes on their way to a client: a part that is being sent, and what has gathered meanwhile. Holds
// no memory while there are none: strings are swapped with new ones, since one that an empty string
// is assigned to keeps its own.
class OutputBuffer final {
 public:
  void add(std::string_view bytes) { gathered_.append(bytes); }
  size_t size() const { return sending_.size() - sent_ + gathered_.size(); }

  // What to send next; stays where it is until taken() has been told of all of it.
  std::string_view front() {
    if (sent_ == sending_.size()) {
      sending_.swap(gathered_);
      sent_ = 0;
    }
    return std::string_view(sending_).substr(sent_);
  }
  void taken(size_t bytes) {
    sent_ += bytes;
    if (sent_ < sending_.size()) return;
    std::string().swap(sending_);
    sent_ = 0;
  }

 private:
  std::string sending_;
  size_t sent_ = 0;
  std::string gathered_;
};

}  // namespace forerun
