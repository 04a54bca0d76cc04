#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace forerun {

// Bytes on their way to a client: a part that is being sent, and what has gathered meanwhile.
class OutputBuffer final {
 public:
  void add(std::string_view bytes) { gathered_.append(bytes); }
  size_t size() const { return sending_.size() - sent_ + gathered_.size(); }

  // What to send next; stays where it is until taken() has been told of all of it.
  std::string_view front() {
    if (sent_ == sending_.size()) {
      // Memory goes back with it: a waiting stream keeps none.
      sending_ = std::move(gathered_);
      gathered_ = std::string();
      sent_ = 0;
    }
    return std::string_view(sending_).substr(sent_);
  }
  void taken(size_t bytes) {
    sent_ += bytes;
    if (sent_ < sending_.size()) return;
    sending_ = std::string();
    sent_ = 0;
  }

 private:
  std::string sending_;
  size_t sent_ = 0;
  std::string gathered_;
};

}  // namespace forerun
