#include "base/parallel.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>
#include <string>
#include <thread>

#include "base/memory.h"

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

// A thread of this process as /proc tells of it.
struct ThreadStatus {
  char state = '?';
  int64_t switches = 0;  // times it gave up the processor, or lost it

  static std::optional<ThreadStatus> of(const std::string& name) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream file(entry.path() / "status");
      ThreadStatus status;
      bool found = false;
      for (std::string line; std::getline(file, line);) {
        const std::string value = line.substr(std::min(line.size(), line.find('\t') + 1));
        if (line.starts_with("Name:")) found = value == name;
        if (line.starts_with("State:")) status.state = value[0];
        if (line.find("ctxt_switches:") != std::string::npos) status.switches += std::stoll(value);
      }
      if (found) return status;
    }
    return std::nullopt;
  }
};

// Waits until the member sleeps and goes on sleeping; it spins for some microseconds first.
ThreadStatus asleep(const std::string& name) {
  ThreadStatus last;
  for (int i = 0; i < 2000; ++i) {
    const std::optional<ThreadStatus> now = ThreadStatus::of(name);
    if (now && now->state == 'S' && last.state == 'S' && now->switches == last.switches)
      return last;
    last = now.value_or(ThreadStatus{});
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ADD_FAILURE() << name << " never slept";
  return {};
}

TEST(Team, SleepsBetweenRegionsAndWakesForEach) {
  Team team(2);
  for (int round = 0; round < 20; ++round) {
    const ThreadStatus before = asleep("forerun-team-1");
    // Whoever polls, yields or naps and looks again gives up the processor again and again.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const ThreadStatus after = asleep("forerun-team-1");
    ASSERT_EQ(after.switches, before.switches) << "an idle member woke";
    std::vector<int> runs(2, 0);
    team.run([&](int member) { ++runs[member]; });
    ASSERT_EQ(runs, (std::vector<int>{1, 1}));
  }
  EXPECT_GE(asleep("forerun-team-1").switches, 20) << "the count does count";
}

TEST(Team, SleepersAreJoined) {
  for (int i = 0; i < 20; ++i) {
    Team team(3);
    asleep("forerun-team-2");
  }
}

TEST(Team, IsMadeSmallerAndLargerBetweenRegions) {
  Team team(4);
  EXPECT_EQ(team.capacity(), 4);
  std::vector<int64_t> runs(4, 0);
  std::vector<int64_t> expected(4, 0);
  for (int turn = 0; turn < 2000; ++turn) {
    // Every size after every other one.
    const int size = 1 + (turn * turn + turn / 4) % 4;
    team.resize(size);
    ASSERT_EQ(team.size(), size);
    std::atomic<int> before{0};
    std::atomic<int> missing{0};
    team.run([&](int member) {
      ++runs[member];
      ++before;
      team.barrier();
      missing += before != size ? 1 : 0;
    });
    ASSERT_EQ(missing, 0);
    for (int member = 0; member < size; ++member) ++expected[member];
    ASSERT_EQ(runs, expected) << "turn " << turn << ", size " << size;
  }
}

// Nobody wakes those that are left out, however busy the others are.
TEST(Team, WhoIsLeftOutSleeps) {
  Team team(3);
  team.resize(2);
  const ThreadStatus before = asleep("forerun-team-2");
  for (int region = 0; region < 1000; ++region) {
    team.run([&](int) { team.barrier(); });
  }
  const ThreadStatus after = asleep("forerun-team-2");
  EXPECT_EQ(after.switches, before.switches);
  team.resize(3);
  std::vector<int> runs(3, 0);
  team.run([&](int member) { ++runs[member]; });
  EXPECT_EQ(runs, (std::vector<int>{1, 1, 1}));
}

TEST(Team, ThoseThatAreLeftOutAreJoined) {
  for (int i = 0; i < 20; ++i) {
    Team team(3);
    team.resize(1 + i % 3);
    if (i % 2 == 0) asleep("forerun-team-2");
  }
}

class Quota : public testing::Test {
 protected:
  Quota() : root_(testing::TempDir() + "quota_" + std::to_string(getpid())) { write("groups", ""); }
  ~Quota() override { std::filesystem::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(root_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  int processors() const { return quota_processors(root_, root_ + "/groups"); }
  int64_t memory() const { return memory_limit_bytes(root_, root_ + "/groups"); }

  const std::string root_;
};

TEST_F(Quota, IsTheLeastOfTheGroupsAbove) {
  write("groups", "0::/system.slice/forerun.service\n");
  EXPECT_GT(processors(), 100'000);
  write("system.slice/forerun.service/cpu.max", "max 100000\n");
  EXPECT_GT(processors(), 100'000);
  write("system.slice/cpu.max", "650000 100000\n");
  EXPECT_EQ(processors(), 6);
  write("system.slice/forerun.service/cpu.max", "200000 100000\n");
  EXPECT_EQ(processors(), 2);
  write("cpu.max", "50000 100000\n");
  EXPECT_EQ(processors(), 1) << "never less than one";
}

TEST_F(Quota, ReadsVersionOneAndSurvivesNonsense) {
  write("groups", "nonsense\n:\n1:a:b\n4:cpu,cpuacct:/pod/box\n3:memory:/pod\n");
  write("cpu/pod/box/cpu.cfs_quota_us", "-1\n");
  write("cpu/pod/box/cpu.cfs_period_us", "100000\n");
  EXPECT_GT(processors(), 100'000);
  write("cpu/pod/cpu.cfs_quota_us", "300000\n");
  write("cpu/pod/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(processors(), 3);
  write("cpu.max", "much 0\n");
  EXPECT_EQ(processors(), 3);
  write("cpu.max", "99999999999999999999999 1\n");
  EXPECT_EQ(processors(), 3);
}

TEST_F(Quota, OfMemoryIsTheLeastToo) {
  write("groups", "0::/system.slice/forerun.service\n7:memory:/pod\n");
  EXPECT_GT(memory(), int64_t{1} << 60);
  write("system.slice/forerun.service/memory.max", "max\n");
  EXPECT_GT(memory(), int64_t{1} << 60);
  write("system.slice/memory.max", "3000000000\n");
  EXPECT_EQ(memory(), 3'000'000'000);
  write("memory/pod/memory.limit_in_bytes", "2000000000\n");
  EXPECT_EQ(memory(), 2'000'000'000);
  write("memory.max", "-5\n");
  EXPECT_EQ(memory(), 2'000'000'000);
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
