#include "replay_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace forerun {
namespace {

// Of `bytes`, which no record's parts but the tokens have.
BufferedRecord make_buffered(int64_t ordinal, int64_t bytes = 800) {
  Example example;
  example.tokens = at::full({bytes / 8}, ordinal, at::kLong);
  example.states = at::empty({0}, at::kBFloat16);
  example.finals = at::empty({0}, at::kBFloat16);
  return {ordinal, std::move(example)};
}

std::vector<int64_t> ordinals(const std::vector<BufferedRecord>& records) {
  std::vector<int64_t> found;
  for (const BufferedRecord& record : records) found.push_back(record.ordinal);
  return found;
}

std::vector<int64_t> kept_by(const ReplayBuffer& buffer) {
  return ordinals(buffer.draw(buffer.num_kept(), 0));
}

using Ordinals = std::vector<int64_t>;

TEST(ReplayBuffer, TheOldestFreshOneGivesWay) {
  ReplayBuffer buffer(/*most_fresh=*/3, /*most_bytes=*/1 << 20, /*seed=*/1);
  for (int64_t i = 1; i <= 5; ++i) buffer.add(make_buffered(i));
  EXPECT_EQ(buffer.num_fresh(), 3);
  EXPECT_EQ(buffer.num_kept(), 2);
  EXPECT_EQ(ordinals(buffer.take_fresh(2)), (Ordinals{3, 4}));
  EXPECT_EQ(ordinals(buffer.take_fresh(2)), (Ordinals{5}));
  EXPECT_EQ(buffer.num_fresh(), 0);
  Ordinals kept = kept_by(buffer);
  std::ranges::sort(kept);
  EXPECT_EQ(kept, (Ordinals{1, 2}));
}

// How often each of 100 records, every other one four times as long, is among those kept when they
// are recent no more.
TEST(ReplayBuffer, KeepsEachRecordEquallyLikely) {
  constexpr int kTries = 2000;
  constexpr int64_t kRecentBytes = ReplayBuffer::kMostRecent * 8;
  std::vector<int> counts(101);
  int64_t total = 0;
  for (int seed = 0; seed < kTries; ++seed) {
    ReplayBuffer buffer(1, 50'000 + kRecentBytes, static_cast<uint64_t>(seed));
    for (int64_t i = 0; i < 100; ++i) buffer.keep(make_buffered(i, i % 2 == 0 ? 400 : 1600));
    for (int64_t i = 0; i < ReplayBuffer::kMostRecent; ++i) buffer.keep(make_buffered(100, 8));
    for (const int64_t ordinal : kept_by(buffer)) ++counts.at(static_cast<size_t>(ordinal));
    total += buffer.num_kept() - ReplayBuffer::kMostRecent;
  }
  const double mean = static_cast<double>(total) / 100;
  // 50 of 100 thousand bytes fit; fewer are used, as recent ones once took half of them.
  const double share = mean / kTries;
  EXPECT_GT(share, 0.25);
  EXPECT_LT(share, 0.5);
  counts.resize(100);
  // Five standard deviations; by place and by length.
  for (const int count : counts)
    EXPECT_NEAR(count, mean, 5 * std::sqrt(share * (1 - share) * kTries));
  const auto sum = [&](size_t begin, size_t step) {
    double all = 0;
    for (size_t i = begin; i < 100; i += step) all += counts[i];
    return all;
  };
  // What is the first to find no room is a long one rather than a short one: one in 25 of those
  // kept.
  EXPECT_NEAR(sum(0, 2) / sum(1, 2), 1.0, 0.06);
}

TEST(ReplayBuffer, IsBoundedByBytes) {
  ReplayBuffer buffer(1, 8000, 1);
  for (int64_t i = 0; i < 1000; ++i) {
    buffer.keep(make_buffered(i));
    ASSERT_EQ(buffer.num_kept(), std::min<int64_t>(i + 1, 10)) << i;
    if (i == 500) break;  // behind it almost all are turned away
  }
  ReplayBuffer with_branches(1, 8000, 1);
  for (int64_t i = 0; i < 10; ++i) {
    BufferedRecord record = make_buffered(i);
    record.example.branches.resize(10);
    record.example.branch_finals = at::empty({10, 24}, at::kBFloat16);
    with_branches.keep(std::move(record));
  }
  EXPECT_EQ(with_branches.num_kept(), 5);  // 800 + 10 · 32 + 480 bytes each
  ReplayBuffer small(1, 700, 1);
  small.keep(make_buffered(1));
  EXPECT_EQ(small.num_kept(), 0);
}

TEST(ReplayBuffer, HalfOfWhatIsDrawnIsRecent) {
  ReplayBuffer buffer(1, 1 << 20, 1);
  const auto recent_of = [&](const Ordinals& drawn, int64_t newest) {
    return std::ranges::count_if(
        drawn, [&](int64_t ordinal) { return ordinal > newest - ReplayBuffer::kMostRecent; });
  };
  for (int64_t i = 1; i <= 600; ++i) {
    buffer.keep(make_buffered(i));
    const Ordinals drawn = ordinals(buffer.draw(8, static_cast<uint64_t>(i)));
    ASSERT_EQ(std::ssize(drawn), std::min<int64_t>(i, 8)) << i;
    ASSERT_EQ(std::set<int64_t>(drawn.begin(), drawn.end()).size(), drawn.size()) << i;
    const int64_t older = std::clamp<int64_t>(i - ReplayBuffer::kMostRecent, 0, 4);
    ASSERT_EQ(recent_of(drawn, i), std::min<int64_t>(i, 8) - older) << i;
  }
  for (const double share : {0.0, 0.25, 1.0}) {
    ReplayBuffer other(1, 1 << 20, 1, share);
    for (int64_t i = 1; i <= 600; ++i) other.keep(make_buffered(i));
    EXPECT_EQ(recent_of(ordinals(other.draw(8, 1)), 600), static_cast<int64_t>(8 * share));
  }
  // Where few are recent, older ones fill up: forgotten ones are recent no more.
  for (int64_t i = 600; i > 600 - ReplayBuffer::kMostRecent + 1; --i) buffer.forget(i);
  const Ordinals drawn = ordinals(buffer.draw(8, 1));
  EXPECT_EQ(std::ssize(drawn), 8);
  EXPECT_EQ(recent_of(drawn, 600), 1);
}

TEST(ReplayBuffer, HalfIsRecentInTheMeanWhereFewAreDrawn) {
  ReplayBuffer buffer(1, 1 << 20, 1);
  for (int64_t i = 1; i <= 600; ++i) buffer.keep(make_buffered(i));
  for (const int64_t count : {1, 3}) {
    int64_t recent = 0;
    for (uint64_t number = 0; number < 400; ++number) {
      const Ordinals drawn = ordinals(buffer.draw(count, number));
      ASSERT_EQ(std::ssize(drawn), count);
      recent += std::ranges::count_if(
          drawn, [](int64_t ordinal) { return ordinal > 600 - ReplayBuffer::kMostRecent; });
    }
    EXPECT_NEAR(static_cast<double>(recent) / 400.0, 0.5 * static_cast<double>(count), 0.1);
  }
}

// Long records are recent for as long only as they leave older ones room.
TEST(ReplayBuffer, RecentOnesTakeHalfOfTheBytes) {
  ReplayBuffer buffer(1, 8000, 1);
  for (int64_t i = 1; i <= 10; ++i) buffer.keep(make_buffered(i));
  EXPECT_EQ(buffer.num_kept(), 10);
  Ordinals drawn = ordinals(buffer.draw(10, 1));
  // The five newest come first.
  drawn.resize(5);
  std::ranges::sort(drawn);
  EXPECT_EQ(drawn, (Ordinals{6, 7, 8, 9, 10}));
}

TEST(ReplayBuffer, DrawsDifferentOnesTheSameForTheSameNumber) {
  ReplayBuffer buffer(1, 1 << 20, 1);
  for (int64_t i = 0; i < 50; ++i) buffer.keep(make_buffered(i));
  std::set<int64_t> drawn;
  for (uint64_t number = 0; number < 40; ++number) {
    const Ordinals one = ordinals(buffer.draw(8, number));
    EXPECT_EQ(one, ordinals(buffer.draw(8, number)));
    EXPECT_EQ(std::set<int64_t>(one.begin(), one.end()).size(), 8u);
    drawn.insert(one.begin(), one.end());
  }
  EXPECT_EQ(drawn.size(), 50u);
  EXPECT_NE(ordinals(buffer.draw(8, 1)), ordinals(buffer.draw(8, 2)));
  EXPECT_EQ(std::ssize(buffer.draw(80, 1)), 50);
}

TEST(ReplayBuffer, Forgets) {
  ReplayBuffer buffer(1, 8000, 1);
  for (int64_t i = 0; i < 10; ++i) buffer.keep(make_buffered(i));
  buffer.forget(4);
  buffer.forget(4);
  EXPECT_EQ(buffer.num_kept(), 9);
  EXPECT_EQ(std::ranges::count(kept_by(buffer), 4), 0);
  buffer.keep(make_buffered(10));  // there is room again
  EXPECT_EQ(buffer.num_kept(), 10);
}

}  // namespace
}  // namespace forerun
