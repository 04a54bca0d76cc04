#include "server/engine_thread.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "server/api_fixture.h"

namespace forerun {
namespace {

// Notes what it is told: "accepted", "start 0", "token 0", "finish 0 length", "end".
class Notes final : public GenerationListener {
 public:
  void on_accepted() override { lines.emplace_back("accepted"); }
  void on_rejected(const Error& error) override { lines.push_back("rejected: " + error.message); }
  void on_started(const GenerationStart& start) override {
    lines.push_back("start " + std::to_string(start.choice));
  }
  void on_token(GenerationToken token) override {
    lines.push_back("token " + std::to_string(token.choice));
  }
  void on_finish(GenerationFinish finish) override {
    lines.push_back("finish " + std::to_string(finish.choice) + " " +
                    std::string(finish_reason_name(finish.event.reason)));
    ++finished;
  }

  std::vector<std::string> lines;
  int finished = 0;
};

Request request_of(int64_t max_tokens, int n = 1) {
  Request request;
  request.prompt = {5, 6, 7};
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  request.n = n;
  return request;
}

class EngineThreadTest : public testing::Test {
 protected:
  EngineThread& start(EngineThread::Limits limits = {}) {
    thread = std::make_unique<EngineThread>(recorded.engine(), loop.post(), limits);
    return *thread;
  }
  std::shared_ptr<Notes> submit(std::vector<Request> requests) {
    const auto notes = std::make_shared<Notes>();
    const EngineThread::Submitted submitted = thread->submit(std::move(requests), notes);
    EXPECT_FALSE(submitted.refusal);
    ticket = submitted.ticket;
    return notes;
  }
  void run_until_finished(const Notes& notes, int finished) {
    ASSERT_TRUE(loop.run_until([&] { return notes.finished == finished; }));
  }

  RecordedEngine recorded{tiny_model(), Isa::kGeneric, 1, tiny_options()};
  ManualLoop loop;
  std::unique_ptr<EngineThread> thread;
  EngineThread::Ticket ticket = 0;
};

TEST_F(EngineThreadTest, TellsInOrder) {
  start();
  const auto notes = submit({request_of(2)});
  run_until_finished(*notes, 1);
  EXPECT_EQ(notes->lines, (std::vector<std::string>{"accepted", "start 0", "token 0", "token 0",
                                                    "finish 0 length"}));
}

TEST_F(EngineThreadTest, CountsChoicesThroughAGroup) {
  start();
  const auto notes = submit({request_of(1, 2), request_of(1), request_of(1, 2)});
  run_until_finished(*notes, 5);
  for (int i = 0; i < 5; ++i) {
    const std::string line = "finish " + std::to_string(i) + " length";
    EXPECT_EQ(std::ranges::count(notes->lines, line), 1) << line;
  }
  EXPECT_EQ(std::ranges::count(notes->lines, "start 3"), 1);
}

TEST_F(EngineThreadTest, RejectsAGroupForOneOfIts) {
  start();
  Request bad = request_of(1);
  bad.prompt = {-1};
  const auto notes = submit({request_of(50), bad, request_of(50)});
  ASSERT_TRUE(loop.run_until([&] { return thread->idle() && !notes->lines.empty(); }));
  ASSERT_EQ(notes->lines.size(), 1u);
  EXPECT_TRUE(notes->lines[0].starts_with("rejected: prompt token 0 is -1")) << notes->lines[0];
}

TEST_F(EngineThreadTest, TakesAsManyAsFindAPlaceOrMayWait) {
  start({.max_running = 1, .max_waiting = 2});
  const auto notes = std::make_shared<Notes>();
  EXPECT_EQ(thread->submit(std::vector<Request>(4, request_of(1)), notes).refusal,
            EngineThread::Refusal::kFull);
  const auto taken = submit(std::vector<Request>(3, request_of(1)));
  run_until_finished(*taken, 3);
  EXPECT_TRUE(notes->lines.empty());
}

TEST_F(EngineThreadTest, CancelsWhatRuns) {
  start();
  const auto notes = submit({request_of(400)});
  ASSERT_TRUE(loop.run_until([&] { return notes->lines.size() > 3; }));
  thread->cancel(ticket);
  run_until_finished(*notes, 1);
  EXPECT_EQ(notes->lines.back(), "finish 0 cancelled");
  thread->cancel(ticket);
  thread->cancel(12345);
}

TEST_F(EngineThreadTest, CancelsWhatHasJustCome) {
  start();
  const auto notes = submit({request_of(400, 3)});
  thread->cancel_all();
  run_until_finished(*notes, 3);
  EXPECT_EQ(notes->lines.back(), "finish 2 cancelled");
}

TEST_F(EngineThreadTest, DrainedItFinishesWhatItHas) {
  start();
  const auto notes = submit({request_of(5)});
  thread->drain();
  EXPECT_EQ(thread->submit({request_of(1)}, notes).refusal, EngineThread::Refusal::kDraining);
  run_until_finished(*notes, 1);
  EXPECT_EQ(notes->lines.back(), "finish 0 length");
  ASSERT_TRUE(loop.run_until([&] { return thread->idle(); }));
}

TEST_F(EngineThreadTest, StoppedItTellsTheEndOfAll) {
  start();
  const auto running = submit({request_of(400)});
  ASSERT_TRUE(loop.run_until([&] { return running->lines.size() > 2; }));
  const auto waiting = submit({request_of(400)});
  thread->stop();
  EXPECT_TRUE(thread->idle());
  run_until_finished(*running, 1);
  run_until_finished(*waiting, 1);
  EXPECT_EQ(running->lines.back(), "finish 0 cancelled");
  EXPECT_EQ(waiting->lines.back(), "finish 0 cancelled");
}

TEST_F(EngineThreadTest, FlushesAndTellsWhatItHolds) {
  start();
  bool flushed = false;
  thread->flush_prefix_cache([&] { flushed = true; });
  ASSERT_TRUE(loop.run_until([&] { return flushed; }));
  EXPECT_GT(thread->snapshot().engine.kv_pages, 0);
  EXPECT_EQ(thread->snapshot().seconds_since_step, 0.0);
}

}  // namespace
}  // namespace forerun
