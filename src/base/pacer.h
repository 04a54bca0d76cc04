#pragma once

#include <functional>

namespace forerun {

// Lets long work of one thread go in short stretches with pauses between them while others are in a
// hurry. A low priority alone does not do that: where threads of a team wait for each other, each
// step takes as long as the slowest one, and whoever has a processor, of whatever priority, keeps
// it until the scheduler's next tick, milliseconds later. A thread that is seldom there and gone
// after an instant is hardly noticed.
//
// A Pacer paces the thread that made it, for as long as it lives; a thread has one at a time. Work
// calls pace() every few ten microseconds wherever it may take long, and does not know whether
// anybody paces it. What others do in the same thread without calling pace() is not paced.
class Pacer final {
 public:
  // Longest stretch, to within the work between two calls of pace(), and the thread's share of a
  // processor. 0.2 ms of every 10 ms lengthen steps by 2 %; at 5 % the 99th percentile between
  // tokens grew by 3 to 24 %, as loading a head then took long enough to count.
  static constexpr double kStretchSeconds = 150e-6;
  static constexpr double kShare = 0.02;
  // Longer ones cannot have been meant to be paced: no more is slept for.
  static constexpr double kLongestSeconds = 10 * kStretchSeconds;

  struct Clock {
    std::function<double()> now;        // seconds; asked at every pace()
    std::function<double()> used;       // processor seconds of the calling thread
    std::function<void(double)> sleep;  // for so many seconds
    static Clock real();
  };

  // `is_hurried`: whether there is anybody to make way for; asked after every stretch, on this
  // thread.
  explicit Pacer(std::function<bool()> is_hurried, Clock clock = Clock::real());
  ~Pacer();
  Pacer(const Pacer&) = delete;
  Pacer& operator=(const Pacer&) = delete;

  // Processor seconds of the longest stretch while somebody was in a hurry; for measurements.
  double longest_seconds() const { return longest_seconds_; }

 private:
  friend void pace();
  void begin_stretch();
  void pass();

  const std::function<bool()> is_hurried_;
  const Clock clock_;
  double begin_ = 0.0;  // of the stretch
  double used_ = 0.0;   // by then
  double longest_seconds_ = 0.0;
};

// Pauses if the thread has a Pacer that finds it is time to; never with a lock held that somebody
// in a hurry may want. Costs nothing to speak of where it has none.
void pace();
// Whether the thread has one: what is one call without it may be made several with it.
bool is_paced();

}  // namespace forerun
