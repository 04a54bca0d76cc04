#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <system_error>

#include "base/cgroup.h"
#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace forerun {
namespace {

// About 30 µs on a 3 GHz machine: longer than the gap between two regions of a decode loop.
constexpr int kSpinsBeforeSleep = 1000;
// A few microseconds: a barrier opens sooner unless a member lost its processor, which spinning any
// longer only keeps from it. A yield costs little when nobody wants the processor. On two
// processors two programs with barriers 10 µs apart went four times as fast with 100 or 300 as with
// 2000.
constexpr int kSpinsBeforeYield = 300;
// Some 50 µs where nobody else wants the processor. Where somebody does, schedulers let a thread
// that only yields go on taking its share from the very member it waits for: it sleeps then.
constexpr int kYieldsBeforeSleep = 100;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// One turn of a loop that waits for `value` to become another than `old`.
template <typename T>
void wait_a_little(const std::atomic<T>& value, T old, int turns) {
  if (turns < kSpinsBeforeYield) {
    pause();
  } else if (turns < kSpinsBeforeYield + kYieldsBeforeSleep) {
    sched_yield();
  } else {
    value.wait(old, std::memory_order_acquire);
  }
}

// A notification of libstdc++ is left out where nobody is counted as waiting. Whoever changes the
// value must not read that count before the change can be seen: a plain store may stay in the
// processor's store buffer for longer than the other takes to count itself, look at the old value
// and go to sleep for ever. So every change that is waited for is sequentially consistent, as the
// count is.
constexpr auto kBeforeNotifying = std::memory_order_seq_cst;

constexpr int kNoQuota = 1 << 20;

// Whole processors in a quota of `quota_us` every `period_us`; what does not parse grants all.
int processors_in(const std::string& quota_us, const std::string& period_us) {
  const int64_t quota = std::strtoll(quota_us.c_str(), nullptr, 10);
  const int64_t period = std::strtoll(period_us.c_str(), nullptr, 10);
  if (quota <= 0 || period <= 0) return kNoQuota;
  return static_cast<int>(std::clamp<int64_t>(quota / period, 1, kNoQuota));
}

// Version 2: "QUOTA PERIOD", or "max PERIOD".
int quota_of_group(const std::string& folder) {
  std::istringstream words(first_line(folder + "/cpu.max"));
  std::string quota;
  std::string period;
  words >> quota >> period;
  return processors_in(quota, period);
}

// Version 1: two files.
int quota_of_controller(const std::string& folder) {
  return processors_in(first_line(folder + "/cpu.cfs_quota_us"),
                       first_line(folder + "/cpu.cfs_period_us"));
}

}  // namespace

int quota_processors(const std::string& root, const std::string& groups_file) {
  int quota = kNoQuota;
  for (const std::string& folder : cgroup_folders(root, groups_file, "cpu")) {
    quota = std::min({quota, quota_of_group(folder), quota_of_controller(folder)});
  }
  return quota;
}

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int allowed = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::max(1, std::min(allowed, quota_processors(kCgroupRoot, kCgroupsOfThisProcess)));
}

Team::Team(int num_threads) {
  CHECK(num_threads >= 1, "a team has at least one member");
  called_.store(num_threads, std::memory_order_relaxed);
  threads_.reserve(num_threads - 1);
  for (int member = 1; member < num_threads; ++member) {
    try {
      threads_.emplace_back([this, member] { work(member); });
    } catch (const std::system_error&) {
      break;  // the system gives no more threads: work with those there are
    }
    ++capacity_;
    const std::string name = "forerun-team-" + std::to_string(member);
    pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
  }
  size_ = capacity_;
}

Team::~Team() {
  stopping_.store(true, std::memory_order_relaxed);
  region_.fetch_add(1, kBeforeNotifying);
  region_.notify_all();
  // Those that are left out are told by another value, whatever it says.
  called_.fetch_add(capacity_, kBeforeNotifying);
  called_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Team::run_erased(Function function, void* context) {
  if (size_ == 1) {
    function(context, 0);
    return;
  }
  function_ = function;
  context_ = context;
  running_.store(size_ - 1, std::memory_order_relaxed);
  region_.fetch_add(1, kBeforeNotifying);
  region_.notify_all();
  function(context, 0);
  wait_for_all();
}

void Team::wait_for_all() {
  int spins = 0;
  while (const int running = running_.load(std::memory_order_acquire)) {
    wait_a_little(running_, running, spins++);
  }
}

// Who leaves does so at the end of a region made for it, and who joins says so before the next one
// begins: so nobody has to find out which regions it was not part of.
void Team::resize(int size) {
  CHECK(size >= 1 && size <= capacity_, "a team has between one and all of its members");
  if (size == size_) return;
  const int before = size_;
  if (size < before) {
    called_.store(size, std::memory_order_relaxed);  // the region's begin shows it
    run_erased([](void*, int) {}, nullptr);
  } else {
    running_.store(size - before, std::memory_order_relaxed);
    called_.store(size, kBeforeNotifying);
    called_.notify_all();
    wait_for_all();
  }
  size_ = size;
}

// False: there is nothing more to come.
bool Team::wait_to_be_called(int member) {
  for (int called; (called = called_.load(std::memory_order_acquire)) <= member;) {
    called_.wait(called, std::memory_order_acquire);
  }
  return !stopping_.load(std::memory_order_relaxed);
}

void Team::work(int member) {
  uint32_t seen = 0;
  while (true) {
    for (int spins = 0; region_.load(std::memory_order_acquire) == seen; ++spins) {
      if (spins < kSpinsBeforeSleep) {
        pause();
      } else {
        region_.wait(seen, std::memory_order_acquire);
      }
    }
    ++seen;
    if (stopping_.load(std::memory_order_relaxed)) return;
    function_(context_, member);
    // Read before the region ends: afterwards it may be called back already.
    const bool leaves = called_.load(std::memory_order_relaxed) <= member;
    if (running_.fetch_sub(1, kBeforeNotifying) == 1) running_.notify_one();
    if (!leaves) continue;
    if (!wait_to_be_called(member)) return;
    seen = region_.load(std::memory_order_relaxed);
    if (running_.fetch_sub(1, kBeforeNotifying) == 1) running_.notify_one();
  }
}

void Team::barrier() {
  if (size_ == 1) return;
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, kBeforeNotifying);
    generation_.notify_all();
    return;
  }
  for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins) {
    wait_a_little(generation_, generation, spins);
  }
}

Range share_of(int64_t count, int member, int team_size, int64_t grain) {
  const int64_t units = (count + grain - 1) / grain;
  const auto edge = [&](int64_t m) { return std::min(count, units * m / team_size * grain); };
  return {edge(member), edge(member + 1)};
}

}  // namespace forerun
