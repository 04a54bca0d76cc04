#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace forerun {
namespace {

// About 30 µs on a 3 GHz machine: longer than the gap between two regions of a decode loop.
constexpr int kSpinsBeforeSleep = 1000;
// Barriers are open within a microsecond unless a member lost its processor.
constexpr int kSpinsBeforeYield = 2000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Whole processors granted by the cgroup (v2), or a large number when there is no quota.
int cgroup_processors() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  int64_t period_us = 0;
  if (!(file >> quota >> period_us) || quota == "max" || period_us <= 0) return 1 << 20;
  return std::max<int>(1, static_cast<int>(std::stoll(quota) / period_us));
}

}  // namespace

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int allowed = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::max(1, std::min(allowed, cgroup_processors()));
}

Team::Team(int num_threads) : num_threads_(num_threads) {
  CHECK(num_threads >= 1, "a team has at least one member");
  for (int member = 1; member < num_threads; ++member) {
    threads_.emplace_back([this, member] { work(member); });
    const std::string name = "forerun-team-" + std::to_string(member);
    pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
  }
}

Team::~Team() {
  stopping_.store(true, std::memory_order_relaxed);
  region_.fetch_add(1, std::memory_order_release);
  region_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Team::run_erased(Function function, void* context) {
  if (num_threads_ == 1) {
    function(context, 0);
    return;
  }
  function_ = function;
  context_ = context;
  running_.store(num_threads_ - 1, std::memory_order_relaxed);
  region_.fetch_add(1, std::memory_order_release);
  region_.notify_all();
  function(context, 0);
  for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpinsBeforeYield) {
      pause();
    } else {
      sched_yield();
    }
  }
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
    running_.fetch_sub(1, std::memory_order_release);
  }
}

void Team::barrier() {
  if (num_threads_ == 1) return;
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == num_threads_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins) {
    if (spins < kSpinsBeforeYield) {
      pause();
    } else {
      sched_yield();
    }
  }
}

Range share_of(int64_t count, int member, int team_size, int64_t grain) {
  const int64_t units = (count + grain - 1) / grain;
  const auto edge = [&](int64_t m) { return std::min(count, units * m / team_size * grain); };
  return {edge(member), edge(member + 1)};
}

}  // namespace forerun
