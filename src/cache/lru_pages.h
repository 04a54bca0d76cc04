#pragma once

#include <cstdint>
#include <vector>

namespace forerun {

constexpr int kNoPage = -1;

// Page ids from the least to the most recently used; every operation is O(1) and none allocates.
class LruPages final {
 public:
  explicit LruPages(int num_pages) : links_(num_pages) {}

  int size() const { return size_; }
  int oldest() const { return oldest_; }  // kNoPage when empty

  void push_newest(int page);
  void remove(int page);

 private:
  struct Links {
    int32_t older = kNoPage;
    int32_t newer = kNoPage;
  };

  std::vector<Links> links_;
  int oldest_ = kNoPage;
  int newest_ = kNoPage;
  int size_ = 0;
};

}  // namespace forerun
