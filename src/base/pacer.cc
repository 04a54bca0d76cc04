#include "base/pacer.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace forerun {
namespace {

thread_local Pacer* pacer_of_thread = nullptr;

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace

Pacer::Clock Pacer::Clock::real() {
  return {.now = now_seconds, .used = thread_seconds, .sleep = sleep_seconds};
}

Pacer::Pacer(std::function<bool()> is_hurried, Clock clock)
    : is_hurried_(std::move(is_hurried)), clock_(std::move(clock)) {
  CHECK(pacer_of_thread == nullptr, "a thread has one pacer at a time");
  pacer_of_thread = this;
  begin_stretch();
}

Pacer::~Pacer() {
  pacer_of_thread = nullptr;
}

void Pacer::begin_stretch() {
  begin_ = clock_.now();
  used_ = clock_.used();
}

// Asking what the thread has used is a system call; what time it is, is not. But whoever was kept
// from a processor, or waited for a disk, has stood in nobody's way meanwhile.
void Pacer::pass() {
  if (clock_.now() - begin_ < kStretchSeconds) return;
  const double used = clock_.used() - used_;
  if (is_hurried_()) {
    longest_seconds_ = std::max(longest_seconds_, used);
    clock_.sleep(std::min(used, kLongestSeconds) * (1.0 / kShare - 1.0));
  }
  begin_stretch();
}

void pace() {
  if (pacer_of_thread != nullptr) pacer_of_thread->pass();
}

bool is_paced() {
  return pacer_of_thread != nullptr;
}

}  // namespace forerun
