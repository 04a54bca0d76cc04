#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace forerun {

// Processors this process may use: its affinity mask, cut by the cgroup's CPU quota.
int usable_processors();

// Whole processors that CPU quotas grant the groups listed in `groups_file` (as /proc/self/cgroup)
// and all above them, under `root` (as /sys/fs/cgroup; version 1 or 2); a large number without any.
int quota_processors(const std::string& root, const std::string& groups_file);

// A fixed team of threads that runs one region at a time. The caller is member 0.
//
// A region is one function run by every member; inside it, `barrier()` lines the members up. Both
// wait by spinning for a few microseconds, then yielding, then sleeping on a futex, so that an idle
// team uses no CPU and one on a crowded machine does not stand in its own way. Everything is
// std::atomic, so ThreadSanitizer sees every hand-over (GCC's OpenMP hides them, and takes its spin
// count from the environment).
//
// Between two regions the team may be made smaller, and larger again: members that are left out
// sleep until they are called back.
class Team final {
 public:
  // Fewer members than asked for where the system gives no more threads.
  explicit Team(int num_threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Members that regions run on; for the thread that runs them, and within one.
  int size() const { return size_; }
  // All members, those that are left out included: what has a part for each is made for so many.
  int capacity() const { return capacity_; }

  // Regions run on the first `size` members from now on, 1 … capacity(). By the thread that runs
  // regions, between two; returns when those that join are there, after tens of microseconds.
  void resize(int size);

  // Runs body(member) on every member and returns when all have finished. Only one thread may call
  // this at a time, and a body must not call it. `body` is borrowed, nothing is allocated.
  template <typename Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_erased([](void* context, int member) { (*static_cast<Plain*>(context))(member); },
               const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Lines up all members inside a region; each must call it equally often.
  void barrier();

 private:
  using Function = void (*)(void* context, int member);
  void run_erased(Function function, void* context);
  void work(int member);
  void wait_for_all();
  bool wait_to_be_called(int member);

  int capacity_ = 1;
  int size_ = 1;
  Function function_ = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint32_t> region_{0};      // bumped to start a region
  alignas(64) std::atomic<int> running_{0};          // members other than 0 still in the region
  alignas(64) std::atomic<int> arrived_{0};          // members at the barrier
  alignas(64) std::atomic<uint32_t> generation_{0};  // bumped when a barrier opens
  // Members below it work; changed by resize() and waited for by those that are left out.
  alignas(64) std::atomic<int> called_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

// The half-open range of `count` items that member `member` of `team_size` takes, in whole units of
// `grain`: contiguous, ascending, sizes differing by at most one grain.
struct Range {
  int64_t begin;
  int64_t end;
};
Range share_of(int64_t count, int member, int team_size, int64_t grain = 1);

}  // namespace forerun
