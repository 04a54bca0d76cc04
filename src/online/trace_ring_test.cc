#include "online/trace_ring.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

namespace forerun {
namespace {

constexpr int64_t kBytes = 1 << 16;

// Block number i: of a length that changes, every byte of it i.
int64_t length_of(uint64_t i) {
  return 1 + static_cast<int64_t>(i * 7919 % 9000);
}

bool write_block(TraceRing& ring, uint64_t i) {
  const auto room = ring.reserve(length_of(i));
  if (!room) return false;
  std::memset(room->data(), static_cast<int>(i & 255), room->size());
  ring.publish();
  return true;
}

void expect_block(std::span<const uint8_t> block, uint64_t i) {
  ASSERT_EQ(std::ssize(block), length_of(i));
  for (const uint8_t byte : block) ASSERT_EQ(byte, static_cast<uint8_t>(i));
}

TEST(TraceRing, KeepsOrderAroundItsEnd) {
  Result<TraceRing> ring = TraceRing::create(kBytes);
  ASSERT_TRUE(ring.ok()) << ring.error().message;
  uint64_t read = 0;
  for (uint64_t written = 0; written < 400; ++written) {
    ASSERT_TRUE(write_block(*ring, written));
    if (written < 3) continue;
    expect_block(ring->front(), read++);
    ring->pop();
  }
  EXPECT_EQ(ring->counts().published, 400u);
  EXPECT_EQ(ring->counts().dropped, 0u);
}

TEST(TraceRing, DropsAndCountsWhatFindsNoRoom) {
  Result<TraceRing> ring = TraceRing::create(kBytes);
  ASSERT_TRUE(ring.ok());
  uint64_t written = 0;
  while (write_block(*ring, written)) ++written;
  EXPECT_GT(written, 5u);
  EXPECT_EQ(ring->counts().dropped, 1u);
  EXPECT_FALSE(ring->reserve(kBytes).has_value());
  for (uint64_t i = 0; i < written; ++i) {
    expect_block(ring->front(), i);
    ring->pop();
  }
  EXPECT_TRUE(ring->front().empty());
  EXPECT_EQ(ring->counts().bytes, 0u);
  EXPECT_TRUE(write_block(*ring, 1));
}

TEST(TraceRing, PassesBlocksBetweenThreads) {
  Result<TraceRing> ring = TraceRing::create(kBytes);
  ASSERT_TRUE(ring.ok());
  Result<TraceRing> other = TraceRing::attach(ring->descriptor());
  ASSERT_TRUE(other.ok()) << other.error().message;
  constexpr uint64_t kBlocks = 3000;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kBlocks;) {
      if (write_block(*ring, i)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (uint64_t i = 0; i < kBlocks;) {
    const std::span<const uint8_t> block = other->front();
    if (block.empty()) {
      std::this_thread::yield();
      continue;
    }
    expect_block(block, i++);
    other->pop();
  }
  writer.join();
}

// A reader that is killed while it reads: the next one begins with what it had not popped.
TEST(TraceRing, OutlivesItsReader) {
  Result<TraceRing> ring = TraceRing::create(kBytes);
  ASSERT_TRUE(ring.ok());
  for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(write_block(*ring, i));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Result<TraceRing> reader = TraceRing::attach(ring->descriptor());
    if (!reader.ok()) _exit(1);
    reader->front();
    reader->pop();
    reader->front();
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  for (uint64_t i = 4; i < 40; ++i) {
    expect_block(ring->front(), i - 3);
    ring->pop();
    ASSERT_TRUE(write_block(*ring, i));
  }
}

TEST(TraceRing, RefusesWhatIsNone) {
  for (const int64_t bytes : {int64_t{0}, int64_t{-1}, kBytes / 2, kBytes + 1, int64_t{1} << 50}) {
    EXPECT_FALSE(TraceRing::create(bytes).ok()) << bytes;
  }
  EXPECT_FALSE(TraceRing::attach(-1).ok());
  FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  EXPECT_FALSE(TraceRing::attach(fileno(file)).ok());
  ASSERT_EQ(ftruncate(fileno(file), 4096 + kBytes), 0);
  EXPECT_FALSE(TraceRing::attach(fileno(file)).ok());
  std::fclose(file);
}

}  // namespace
}  // namespace forerun
