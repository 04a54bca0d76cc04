#include <gtest/gtest.h>

#include "engine/engine_fixture.h"
#include "engine/state.h"

namespace forerun {
namespace {

// An engine whose actions are called one by one, with a cost model that is known.
class PlanStep : public testing::Test {
 protected:
  static constexpr double kBase = 1e-3;
  static constexpr double kRow = 1e-4;
  static constexpr double kKey = 1e-6;

  explicit PlanStep(EngineOptions options = tiny_options())
      : state_(tiny_model(), kernel_table(available_isas().back()), team_, std::move(options),
               /*num_pages=*/128) {
    state_.cost = known_cost();
  }

  static StepCost known_cost() {
    constexpr StepTimes::Point kPoints[] = {{1, kBase + kRow}, {2, kBase + 2 * kRow}};
    return StepCost({.by_rows = kPoints, .row_key_seconds = kKey});
  }

  void queue(int prompt_tokens, uint32_t stream) {
    Request request;
    request.prompt = random_tokens(prompt_tokens, 320, stream);
    request.max_tokens = 100;
    request.ignore_eos = true;
    ASSERT_TRUE(check_request(state_, request).ok());
    queue_request(state_, std::move(request));
  }

  // Computes the plan without learning from its time.
  void compute() {
    forward(state_);
    sample_tokens(state_);
    emit_tokens(state_);
    state_.cost = known_cost();
  }

  void decode(int sequences) {
    for (int i = 0; i < sequences; ++i) queue(10 + i, static_cast<uint32_t>(i));
    admit(state_);
    plan_step(state_);
    compute();
  }

  int64_t rows() const { return static_cast<int64_t>(state_.step_tokens.size()); }
  double predicted() const { return state_.cost.predict(state_.step_work); }
  // With one row more of the last prompt.
  double predicted_with_one_more() const {
    const Sequence& last = *state_.step_sequences.back();
    StepWork work = state_.step_work;
    ++work.rows;
    work.row_keys += last.kv.num_tokens + last.step_rows + 1;
    return state_.cost.predict(work);
  }

  Team team_{1};
  EngineState state_;
};

TEST_F(PlanStep, PrefillsWholeWhenNothingDecodes) {
  state_.options.max_step_ms = 0.01;
  queue(300, 1);
  queue(200, 2);
  admit(state_);
  plan_step(state_);
  EXPECT_EQ(rows(), 500);
  EXPECT_EQ(state_.step_logit_rows, (std::vector<int32_t>{299, 499}));
  EXPECT_EQ(state_.step_work.row_keys, 300 * 301 / 2 + 200 * 201 / 2);
}

TEST_F(PlanStep, CutsPromptsAtTheRowLimit) {
  state_.options.max_step_ms = 60'000.0;
  queue(400, 1);
  queue(200, 2);
  admit(state_);
  plan_step(state_);
  EXPECT_EQ(rows(), 512);
  EXPECT_EQ(state_.step_logit_rows, (std::vector<int32_t>{399}));
  compute();
  plan_step(state_);
  EXPECT_EQ(rows(), 1 + 88) << "the first one decodes, the second one's rest";
}

TEST_F(PlanStep, KeepsThePredictedTimeUnderTheBudget) {
  decode(4);
  queue(400, 10);
  queue(90, 11);
  admit(state_);
  for (const double ms : {2.0, 5.0, 12.0, 40.0}) {
    state_.options.max_step_ms = ms;
    plan_step(state_);
    ASSERT_LE(predicted(), ms * 1e-3);
    ASSERT_EQ(state_.step_groups[0].num_rows, 1);
    ASSERT_GE(state_.step_groups.size(), 5u);
    // All of the budget is used: one row more would not fit, or no prompt is left.
    const Sequence& last = *state_.step_sequences.back();
    if (last.step_rows == last.uncomputed() && state_.step_groups.size() == 6) continue;
    EXPECT_GT(predicted_with_one_more(), ms * 1e-3) << ms;
  }
}

TEST_F(PlanStep, TakesFourDecodeStepsByDefault) {
  for (const int sequences : {1, 6}) {
    decode(sequences);
    plan_step(state_);
    const double decoding = predicted();
    queue(500, 20);
    admit(state_);
    plan_step(state_);
    EXPECT_LE(predicted(), 4.0 * decoding);
    EXPECT_GT(predicted_with_one_more(), 4.0 * decoding);
    for (const auto& [id, request] : state_.requests) state_.cancelled.push_back(id);
    cancel_requests(state_);
    sweep(state_);
  }
}

TEST_F(PlanStep, MovesOnePromptOnWhenDecodingTakesTheBudget) {
  decode(4);
  queue(50, 10);
  queue(60, 11);
  admit(state_);
  state_.options.max_step_ms = 1e-6;
  plan_step(state_);
  EXPECT_EQ(rows(), 5);
  EXPECT_EQ(state_.step_sequences.back()->prompt_tokens(), 50);
  EXPECT_EQ(state_.step_sequences.back()->logit_row, -1);
}

TEST_F(PlanStep, PreemptsTheNewestForTheOldest) {
  decode(3);
  // All memory goes to one prompt; then the oldest needs a page.
  queue(320, 10);
  admit(state_);
  KvSequence rest;
  const int free = state_.cache.free_pages();
  ASSERT_TRUE(state_.cache.reserve(rest, int64_t{free} * 32));
  for (int i = 0; i < 25; ++i) {
    plan_step(state_);
    if (state_.stats.preemptions > 0) break;
    compute();
  }
  EXPECT_EQ(state_.stats.preemptions, 1);
  ASSERT_EQ(state_.waiting.size(), 1u);
  EXPECT_EQ(state_.running.size(), 3u);
  EXPECT_GE(state_.waiting[0]->prompt_tokens(), 300);
  EXPECT_EQ(rows(), 3) << "the others decode in the very step";
  state_.cache.release(rest);
}

}  // namespace
}  // namespace forerun
