#include "base/parallel.h"

#include <gtest/gtest.h>

#include <numeric>

namespace forerun {
namespace {

TEST(Team, RunsEveryMemberOncePerRegion) {
  Team team(3);
  std::vector<int> runs(3, 0);
  for (int region = 0; region < 1000; ++region) team.run([&](int member) { ++runs[member]; });
  EXPECT_EQ(runs, (std::vector<int>{1000, 1000, 1000}));
}

TEST(Team, BarrierShowsEveryMembersWrites) {
  Team team(4);
  std::vector<int64_t> slots(4, 0);
  std::vector<int64_t> sums(4, 0);
  team.run([&](int member) {
    for (int round = 1; round <= 500; ++round) {
      slots[member] = round * (member + 1);
      team.barrier();
      const int64_t sum = std::accumulate(slots.begin(), slots.end(), int64_t{0});
      sums[member] += sum == round * 10 ? 1 : 0;
      team.barrier();
    }
  });
  EXPECT_EQ(sums, (std::vector<int64_t>(4, 500)));
}

TEST(ShareOf, CoversEverythingOnceInWholeGrains) {
  for (int64_t count : {0, 1, 15, 16, 17, 960, 49152}) {
    for (int team_size : {1, 2, 3, 8}) {
      int64_t expected_begin = 0;
      for (int member = 0; member < team_size; ++member) {
        const Range range = share_of(count, member, team_size, /*grain=*/16);
        EXPECT_EQ(range.begin, expected_begin);
        EXPECT_TRUE(range.begin % 16 == 0 || range.begin == count);
        expected_begin = range.end;
      }
      EXPECT_EQ(expected_begin, count);
    }
  }
}

}  // namespace
}  // namespace forerun
