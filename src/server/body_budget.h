#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace forerun {

// What the bodies of all requests in hand may take together: each may be large, and many clients
// that send one slowly would take all memory. Small ones always find room, so that who fills the
// budget keeps out nobody but others like it.
class BodyBudget final {
 public:
  static constexpr int64_t kFreeBytes = 64 << 10;

  explicit BodyBudget(int64_t max_bytes) : left_(max_bytes) {}

 private:
  friend class BodyShare;
  std::atomic<int64_t> left_;
};

// One body's part, given back at its end on whichever thread.
class BodyShare final {
 public:
  explicit BodyShare(std::shared_ptr<BodyBudget> budget = nullptr) : budget_(std::move(budget)) {}
  ~BodyShare() {
    if (budget_) budget_->left_ += held_;
  }
  BodyShare(BodyShare&& other) noexcept
      : budget_(std::move(other.budget_)), held_(std::exchange(other.held_, 0)) {}
  BodyShare& operator=(BodyShare&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(held_, other.held_);
    return *this;
  }

  // False, and nothing more is held, where there is no room.
  bool grow_to(int64_t bytes) {
    if (bytes <= BodyBudget::kFreeBytes || bytes <= held_) return true;
    const int64_t more = bytes - held_;
    if (budget_->left_.fetch_sub(more) < more) {
      budget_->left_ += more;
      return false;
    }
    held_ = bytes;
    return true;
  }

 private:
  std::shared_ptr<BodyBudget> budget_;
  int64_t held_ = 0;
};

}  // namespace forerun
