// Heads come and go while requests run: nothing of their answers changes, nothing waits.
#include "engine/head_slot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/pacer.h"
#include "engine/engine_fixture.h"

namespace forerun {
namespace {

// Heads live as long as the tests; sharing them frees nothing.
std::shared_ptr<const Eagle3Head> shared_head() {
  return {&tiny_head(), [](const Eagle3Head*) {}};
}

EngineOptions slot_options() {
  EngineOptions options = tiny_options();
  options.speculation.head_slot = true;
  options.speculation.forced = true;
  return options;
}

std::vector<Request> requests() {
  return mixed_requests(tiny_model().descriptor().vocab_size);
}

std::vector<Answers> plain_answers() {
  RecordedEngine plain(tiny_model(), available_isas().back(), /*num_threads=*/2, tiny_options());
  return plain.run(requests());
}

void expect_same(const std::vector<Answers>& found, const std::vector<Answers>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].choices, expected[i].choices) << i;
}

void offer(Engine& engine, std::shared_ptr<const Eagle3Head> head, int64_t version) {
  Result<std::unique_ptr<ReadyHead>> ready = engine.make_ready(std::move(head), version);
  ASSERT_TRUE(ready.ok()) << ready.error().message;
  engine.offer_head(*std::move(ready));
}

TEST(HeadSlot, EmptyItDraftsNothing) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), 2, slot_options());
  expect_same(recorded.run(requests()), plain_answers());
  EXPECT_EQ(recorded.stats().speculation.drafts, 0);
  EXPECT_EQ(recorded.stats().head_version, 0);
}

TEST(HeadSlot, WhatIsOfferedDraftsFromTheNextStepOn) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), 2, slot_options());
  offer(recorded.engine(), shared_head(), /*version=*/7);
  EXPECT_EQ(recorded.stats().head_version, 0) << "the engine takes it, between two steps";
  expect_same(recorded.run(requests()), plain_answers());
  EXPECT_GT(recorded.stats().speculation.draft_tokens, 100);
  EXPECT_EQ(recorded.stats().head_version, 7);
  EXPECT_EQ(recorded.stats().head_swaps, 1);
  EXPECT_GT(recorded.stats().head_swap_seconds, 0.0);
}

TEST(HeadSlot, TheLastOneOfferedCounts) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), 1, slot_options());
  offer(recorded.engine(), shared_head(), 1);
  offer(recorded.engine(), shared_head(), 2);
  recorded.engine().step();
  EXPECT_EQ(recorded.stats().head_version, 2);
  EXPECT_EQ(recorded.stats().head_swaps, 1);
}

// Another one, none, and one again, every third step.
TEST(HeadSlot, SwapsAmidRequestsChangeNoToken) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), 2, slot_options());
  std::vector<RequestId> ids;
  for (Request& request : requests()) ids.push_back(recorded.add(std::move(request)));
  int64_t version = 0;
  for (int step = 0; recorded.engine().step(); ++step) {
    if (step % 3 == 0) offer(recorded.engine(), step % 9 == 6 ? nullptr : shared_head(), ++version);
  }
  std::vector<Answers> found;
  for (const RequestId id : ids) found.push_back(recorded.answers(id));
  expect_same(found, plain_answers());
  EXPECT_GT(recorded.stats().head_swaps, 5);
  EXPECT_GT(recorded.stats().speculation.draft_tokens, 50);
}

TEST(HeadSlot, AnotherThreadMayOfferAtAnyInstant) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), 2, slot_options());
  Engine& engine = recorded.engine();
  std::atomic<bool> ending{false};
  std::thread offering([&] {
    for (int64_t version = 1; !ending; ++version) {
      offer(engine, version % 4 == 0 ? nullptr : shared_head(), version);
      std::this_thread::yield();
    }
  });
  const std::vector<Answers> expected = plain_answers();
  for (int round = 0; round < 3; ++round) expect_same(recorded.run(requests()), expected);
  ending = true;
  offering.join();
  EXPECT_GT(recorded.stats().head_swaps, 3);
}

TEST(HeadSlot, AHeadOfOtherLayersIsRefused) {
  EngineOptions options = slot_options();
  RecordedEngine recorded(windowed_model(), available_isas().back(), 1, options);
  const auto ready = recorded.engine().make_ready(shared_head(), 1);
  ASSERT_NE(tiny_head().state_layers(), tap_layers(windowed_model().descriptor().num_layers));
  ASSERT_FALSE(ready.ok());
  EXPECT_NE(ready.error().message.find("layers"), std::string::npos);
}

// What each first draft came to is told with the end, place by place.
TEST(HeadSlot, EndsTellWhatFirstDraftsCameTo) {
  EngineOptions options = slot_options();
  int64_t drafted = 0;
  int64_t right = 0;
  options.on_sequence_end = [&](const SequenceEnd& end) {
    EXPECT_EQ(end.head, 3);
    ASSERT_LE(end.first_drafts.size(), end.tokens.size());
    for (size_t i = 0; i < end.first_drafts.size(); ++i) {
      if (end.first_drafts[i] == FirstDraft::kNone) continue;
      EXPECT_GT(i, end.request.prompt.size()) << "the output's first token is the target's";
      ++drafted;
      right += end.first_drafts[i] == FirstDraft::kRight ? 1 : 0;
    }
  };
  RecordedEngine recorded(tiny_model(), available_isas().back(), 2, options);
  offer(recorded.engine(), shared_head(), 3);
  recorded.run(requests());
  EXPECT_GT(drafted, 100);
  // Drafts that were not verified are compared, too.
  EXPECT_GE(right, recorded.stats().speculation.accepted_at[0]);
  EXPECT_GT(right, 0);
  EXPECT_GT(drafted, right);
}

// Whoever loads a head makes way for steps, and for nobody else.
TEST(HeadSlot, TheEngineIsBusyWhileThereAreRequests) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), 1, slot_options());
  EXPECT_FALSE(recorded.engine().is_busy());
  recorded.engine().step();
  EXPECT_FALSE(recorded.engine().is_busy());
  recorded.add(requests()[0]);
  EXPECT_TRUE(recorded.engine().is_busy());
  while (recorded.engine().step()) EXPECT_TRUE(recorded.engine().is_busy());
  EXPECT_FALSE(recorded.engine().is_busy());
}

// All of a head's memory, taken and given back piece by piece while requests run.
TEST(HeadSlot, HeadsMayComeAndGoInPieces) {
  EngineOptions options = slot_options();
  options.commit_kv = true;
  RecordedEngine recorded(tiny_model(), available_isas().back(), 2, options);
  Engine& engine = recorded.engine();
  const std::vector<Answers> expected = plain_answers();
  std::atomic<bool> ending{false};
  std::atomic<int> pauses{0};
  std::thread offering([&] {
    double now = 0.0;
    const Pacer pacer([&] { return engine.is_busy(); }, {.now = [&] { return now += 1.0; },
                                                         .used = [&] { return now; },
                                                         .sleep = [&](double) { ++pauses; }});
    for (int64_t version = 1; !ending; ++version) offer(engine, shared_head(), version);
  });
  for (int round = 0; round < 3; ++round) expect_same(recorded.run(requests()), expected);
  ending = true;
  offering.join();
  EXPECT_GT(recorded.stats().head_swaps, 3);
  EXPECT_GT(pauses, 0);
}

}  // namespace
}  // namespace forerun
