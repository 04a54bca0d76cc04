#include "base/pacer.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace forerun {
namespace {

// A thread's time, in which it works or waits as the test says.
class FakeTime {
 public:
  Pacer::Clock clock() {
    return {.now = [this] { return now_; },
            .used = [this] { return used_; },
            .sleep =
                [this](double seconds) {
                  now_ += seconds;
                  sleeps.push_back(seconds);
                }};
  }
  void work(double seconds) {
    now_ += seconds;
    used_ += seconds;
  }
  void wait(double seconds) { now_ += seconds; }

  double now() const { return now_; }
  double used() const { return used_; }
  std::vector<double> sleeps;

 private:
  double now_ = 100.0;
  double used_ = 3.0;
};

constexpr double kPiece = 20e-6;

double slept_after(double stretch_seconds) {
  return stretch_seconds * (1.0 / Pacer::kShare - 1.0);
}

TEST(Pacer, KeepsToItsShareInShortStretches) {
  FakeTime time;
  const Pacer pacer([] { return true; }, time.clock());
  const double begin = time.now();
  const double used = time.used();
  for (int i = 0; i < 5000; ++i) {
    time.work(kPiece);
    pace();
  }
  EXPECT_NEAR((time.used() - used) / (time.now() - begin), Pacer::kShare, 1e-4);
  EXPECT_LT(pacer.longest_seconds(), Pacer::kStretchSeconds + 1.01 * kPiece);
  EXPECT_GE(pacer.longest_seconds(), Pacer::kStretchSeconds);
}

TEST(Pacer, LetsGoOnWhileNobodyIsInAHurry) {
  FakeTime time;
  bool hurried = false;
  const Pacer pacer([&] { return hurried; }, time.clock());
  for (int i = 0; i < 5000; ++i) {
    time.work(kPiece);
    pace();
  }
  EXPECT_TRUE(time.sleeps.empty());
  EXPECT_EQ(pacer.longest_seconds(), 0.0);
  hurried = true;
  for (int i = 0; i < 10; ++i) {
    time.work(kPiece);
    pace();
  }
  EXPECT_EQ(time.sleeps.size(), 1u);
}

// A disk, or a processor that others have.
TEST(Pacer, DoesNotCountWhatItWaitedFor) {
  FakeTime time;
  const Pacer pacer([] { return true; }, time.clock());
  time.work(kPiece);
  time.wait(1.0);
  pace();
  ASSERT_EQ(time.sleeps.size(), 1u);
  EXPECT_NEAR(time.sleeps[0], slept_after(kPiece), 1e-9);
}

TEST(Pacer, SleepsALongPieceOffButNoLongerThanForWhatCouldHaveBeenPaced) {
  FakeTime time;
  const Pacer pacer([] { return true; }, time.clock());
  time.work(3 * Pacer::kStretchSeconds);
  pace();
  time.work(2.0);
  pace();
  ASSERT_EQ(time.sleeps.size(), 2u);
  EXPECT_NEAR(time.sleeps[0], slept_after(3 * Pacer::kStretchSeconds), 1e-9);
  EXPECT_NEAR(time.sleeps[1], slept_after(Pacer::kLongestSeconds), 1e-9);
}

TEST(Pacer, PacesItsThreadForAsLongAsItLives) {
  FakeTime time;
  EXPECT_FALSE(is_paced());
  pace();
  {
    const Pacer pacer([] { return true; }, time.clock());
    EXPECT_TRUE(is_paced());
    time.work(1.0);
    std::thread([] {
      EXPECT_FALSE(is_paced());
      pace();
    }).join();
    EXPECT_TRUE(time.sleeps.empty());
  }
  EXPECT_FALSE(is_paced());
  pace();
  EXPECT_TRUE(time.sleeps.empty());
}

// By the thread's own clock: time spent asleep is not time used.
TEST(Pacer, ReadsTheThreadsClock) {
  const Pacer::Clock clock = Pacer::Clock::real();
  const double used = clock.used();
  const double now = clock.now();
  clock.sleep(0.02);
  EXPECT_GE(clock.now() - now, 0.02);
  EXPECT_LT(clock.used() - used, 0.02);
  while (clock.used() - used < 0.001) {
  }
}

}  // namespace
}  // namespace forerun
