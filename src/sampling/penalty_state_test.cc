#include "sampling/penalty_state.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace forerun {
namespace {

SamplingParams penalties(float repetition, float frequency, float presence) {
  SamplingParams params;
  params.repetition_penalty = repetition;
  params.frequency_penalty = frequency;
  params.presence_penalty = presence;
  return params;
}

TEST(PenaltyState, MatchesCasesDoneByHand) {
  PenaltyState state(/*vocab_size=*/6, /*max_tokens=*/10);
  state.reset(std::vector<int32_t>{0, 1, 1});
  for (int32_t token_id : {1, 2, 2, 3}) state.push(token_id);

  // token:                  0    1    2   3   4   5
  const std::vector<float> start = {4.0f, -4.0f, 3.0f, -1.0f, 2.0f, -2.0f};
  std::vector<float> logits = start;
  state.apply(penalties(2.0f, 0.0f, 0.0f), logits.data());
  EXPECT_EQ(logits, (std::vector<float>{2.0f, -8.0f, 1.5f, -2.0f, 2.0f, -2.0f}));

  logits = start;  // the output's counts alone: 1, 2 and 1 of tokens 1, 2 and 3
  state.apply(penalties(1.0f, 0.5f, 0.0f), logits.data());
  EXPECT_EQ(logits, (std::vector<float>{4.0f, -4.5f, 2.0f, -1.5f, 2.0f, -2.0f}));

  logits = start;
  state.apply(penalties(1.0f, 0.0f, 1.5f), logits.data());
  EXPECT_EQ(logits, (std::vector<float>{4.0f, -5.5f, 1.5f, -2.5f, 2.0f, -2.0f}));

  logits = start;  // repetition first: token 2 is 3 / 2 - 2 * 0.5 - 1, not (3 - 2) / 2
  state.apply(penalties(2.0f, 0.5f, 1.0f), logits.data());
  EXPECT_EQ(logits, (std::vector<float>{2.0f, -9.5f, -0.5f, -3.5f, 2.0f, -2.0f}));
}

TEST(PenaltyState, PoppingRestoresEveryEarlierState) {
  PenaltyState state(/*vocab_size=*/50, /*max_tokens=*/64);
  state.reset(std::vector<int32_t>{7, 8, 9});
  const SamplingParams params = penalties(1.5f, 0.25f, 0.5f);
  const auto applied = [&] {
    std::vector<float> logits(50, 1.0f);
    state.apply(params, logits.data());
    return logits;
  };
  std::mt19937 random(1);
  std::vector<std::vector<float>> history;
  for (int i = 0; i < 61; ++i) {
    history.push_back(applied());
    state.push(static_cast<int32_t>(random() % 50));
  }
  for (int i = 60; i >= 0; --i) {
    state.pop();
    ASSERT_EQ(applied(), history[i]) << i;
  }
  EXPECT_EQ(state.num_distinct_tokens(), 3);
  EXPECT_EQ(state.num_output_tokens(), 0);
}

// Random pushes and pops against counts kept in a map, with ids that collide in the table.
TEST(PenaltyState, AgreesWithAMapUnderRandomPushesAndPops) {
  PenaltyState state(/*vocab_size=*/100000, /*max_tokens=*/64);
  std::vector<int32_t> prompt;
  std::vector<int32_t> output;
  std::mt19937 random(2);
  for (int step = 0; step < 20000; ++step) {
    if (step % 500 == 0) {
      prompt.assign(3, static_cast<int32_t>(random() % 100000));
      output.clear();
      state.reset(prompt);
    }
    const bool full = output.size() + prompt.size() == 64;
    if (!output.empty() && (full || random() % 5 < 2)) {
      const int count = 1 + static_cast<int>(random() % output.size());
      state.pop(count);
      output.resize(output.size() - count);
    } else {
      output.push_back(static_cast<int32_t>(random() % 40 * 2500));
      state.push(output.back());
    }
    std::set<int32_t> distinct(prompt.begin(), prompt.end());
    distinct.insert(output.begin(), output.end());
    ASSERT_EQ(state.num_distinct_tokens(), static_cast<int>(distinct.size()));
  }
  std::vector<float> logits(100000, 0.0f);
  std::vector<float> expected(100000, 0.0f);
  state.apply(penalties(1.0f, 1.0f, 0.0f), logits.data());
  for (int32_t token_id : output) expected[token_id] -= 1.0f;
  EXPECT_EQ(logits, expected);
}

TEST(PenaltyState, CopiesAreIndependent) {
  PenaltyState state(/*vocab_size=*/10, /*max_tokens=*/8);
  state.reset(std::vector<int32_t>{1});
  state.push(2);
  PenaltyState copy(/*vocab_size=*/10, /*max_tokens=*/8);
  copy = state;
  copy.push(3);
  copy.push(2);
  std::vector<float> logits(10, 0.0f);
  state.apply(penalties(1.0f, 1.0f, 0.0f), logits.data());
  EXPECT_EQ(logits, (std::vector<float>{0, 0, -1, 0, 0, 0, 0, 0, 0, 0}));
  logits.assign(10, 0.0f);
  copy.apply(penalties(1.0f, 1.0f, 0.0f), logits.data());
  EXPECT_EQ(logits, (std::vector<float>{0, 0, -2, -1, 0, 0, 0, 0, 0, 0}));
}

TEST(PenaltyState, TakesAWholeVocabularyOfDistinctTokens) {
  PenaltyState state(/*vocab_size=*/64, /*max_tokens=*/1000);
  state.reset({});
  for (int i = 0; i < 1000; ++i) state.push(i % 64);
  EXPECT_EQ(state.num_distinct_tokens(), 64);
  EXPECT_DEATH(state.push(0), "max_tokens");
  EXPECT_DEATH(state.pop(1001), "more tokens than were pushed");
}

}  // namespace
}  // namespace forerun
