// The team becomes smaller and larger while requests run: nothing of their answers changes, and
// what steps cost is known of each size apart.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "engine/engine_fixture.h"

namespace forerun {
namespace {

constexpr int kThreads = 4;

EngineOptions options_with_head() {
  EngineOptions options = tiny_options();
  options.keep_finals = true;
  options.speculation.eagle3 = &tiny_head();
  options.speculation.forced = true;
  return options;
}

std::vector<Request> requests() {
  return mixed_requests(tiny_model().descriptor().vocab_size);
}

// By one thread, nothing drafted.
const std::vector<Answers>& plain_answers(Isa isa) {
  static std::map<Isa, std::vector<Answers>> found;
  if (!found.contains(isa)) {
    RecordedEngine plain(tiny_model(), isa, /*num_threads=*/1, tiny_options());
    found[isa] = plain.run(requests());
  }
  return found[isa];
}

void expect_same(const std::vector<Answers>& answers, Isa isa, const std::string& what) {
  const std::vector<Answers>& expected = plain_answers(isa);
  ASSERT_EQ(answers.size(), expected.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].choices, expected[i].choices) << what << ", request " << i;
  }
}

class ResizeTeam : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Isa, ResizeTeam, testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

TEST_P(ResizeTeam, EveryStepByAnotherSizeGivesTheSameTokens) {
  for (const bool drafts : {false, true}) {
    RecordedEngine recorded(tiny_model(), GetParam(), kThreads,
                            drafts ? options_with_head() : tiny_options());
    std::vector<RequestId> ids;
    for (Request& request : requests()) ids.push_back(recorded.add(std::move(request)));
    int wanted = kThreads;
    for (int step = 0; recorded.engine().step(); ++step) {
      EXPECT_EQ(recorded.stats().threads, wanted);
      wanted = 1 + (step * step + step / 4) % kThreads;
      recorded.engine().set_threads(wanted);
    }
    std::vector<Answers> answers;
    for (const RequestId id : ids) answers.push_back(recorded.answers(id));
    expect_same(answers, GetParam(), drafts ? "with a head" : "plain");
  }
}

TEST(ResizeTeam, AnotherThreadMayAskAtAnyInstant) {
  const Isa isa = available_isas().back();
  RecordedEngine recorded(tiny_model(), isa, kThreads, options_with_head());
  Engine& engine = recorded.engine();
  std::atomic<bool> ending{false};
  std::atomic<int64_t> asked{0};
  std::thread asking([&] {
    while (!ending) {
      engine.set_threads(static_cast<int>(1 + asked % kThreads));
      // What may be read meanwhile.
      EXPECT_GE(engine.load().busy_seconds, 0.0);
      ++asked;
      std::this_thread::yield();
    }
  });
  for (int round = 0; round < 3; ++round) expect_same(recorded.run(requests()), isa, "asked for");
  ending = true;
  asking.join();
  EXPECT_GT(asked, 3);
}

TEST(ResizeTeam, TimesTheSmallerTeamAtLoad) {
  EngineOptions options = tiny_options();
  options.smaller_team = 3;
  RecordedEngine recorded(tiny_model(), available_isas().back(), kThreads, options);
  Engine& engine = recorded.engine();
  EXPECT_EQ(engine.threads(), kThreads);
  // Of sizes that were not timed the next larger one's work is divided: of this one not.
  const StepWork row = {.rows = 1};
  const auto seconds = [&](int threads) { return engine.average_cost(threads).predict(row); };
  EXPECT_GT(std::abs(3.0 * seconds(3) / (4.0 * seconds(4)) - 1.0), 1e-9);
  EXPECT_NEAR(2.0 * seconds(2), 3.0 * seconds(3), 1e-12);
  engine.step();
  EXPECT_EQ(recorded.stats().threads, kThreads);
}

TEST(ResizeTeam, RefusesASmallerTeamThatIsNone) {
  Team team(2);
  for (const int smaller : {-1, 2, 3}) {
    EngineOptions options = tiny_options();
    options.smaller_team = smaller;
    const auto engine =
        Engine::create(tiny_model(), kernel_table(available_isas().back()), team, options);
    EXPECT_FALSE(engine.ok()) << smaller;
  }
}

TEST(ResizeTeam, LeavesTheTeamAsItWas) {
  Team team(3);
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(tiny_model(), kernel_table(available_isas().back()), team, tiny_options());
  ASSERT_TRUE(engine.ok());
  (*engine)->set_threads(1);
  (*engine)->step();
  EXPECT_EQ(team.size(), 1);
  engine->reset();
  EXPECT_EQ(team.size(), 3);
}

TEST(ResizeTeam, TellsWhatItHasDone) {
  EngineOptions options = tiny_options();
  options.smaller_team = 1;
  RecordedEngine recorded(tiny_model(), available_isas().back(), 2, options);
  EXPECT_EQ(recorded.engine().load().busy_seconds, 0.0);
  recorded.run(requests());
  const EngineLoad load = recorded.engine().load();
  const EngineStats stats = recorded.stats();
  EXPECT_EQ(load.generated_tokens, stats.generated_tokens);
  EXPECT_GE(load.busy_seconds, stats.step_seconds);
  EXPECT_GT(load.sequence_seconds, load.busy_seconds);
  EXPECT_GT(load.key_seconds, load.sequence_seconds);
  EXPECT_DOUBLE_EQ(load.timed_seconds, stats.timed_seconds);
  EXPECT_GT(load.timed_smaller_seconds, 0.0);
}

}  // namespace
}  // namespace forerun
