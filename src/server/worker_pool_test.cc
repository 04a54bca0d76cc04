#include "server/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace forerun {
namespace {

TEST(WorkerPool, RunsAllThatIsQueuedAndTakesNoMore) {
  std::atomic<int> ran = 0;
  std::promise<void> gate;
  {
    WorkerPool pool("pool", /*num_threads=*/1, /*max_queued=*/2);
    std::promise<void> begun;
    ASSERT_TRUE(pool.post([&] {
      begun.set_value();
      gate.get_future().wait();
    }));
    begun.get_future().wait();
    EXPECT_TRUE(pool.post([&] { ++ran; }));
    EXPECT_TRUE(pool.post([&] { ++ran; }));
    EXPECT_FALSE(pool.post([&] { ++ran; }));
    gate.set_value();
  }
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace forerun
