#include "training_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/json.h"
#include "head_files.h"
#include "head_trainer.h"
#include "threads.h"
#include "trainer_fixture.h"
#include "training_begin.h"

namespace forerun {
namespace {

constexpr int64_t kSize = 16;

class ChangeVocabulary : public testing::TestWithParam<bool> {
 protected:
  ChangeVocabulary() {
    set_num_threads(1);
    options.freeze_output = GetParam();
    options.adam.learning_rate = 0.01;
    for (int32_t token = 0; token < 8; ++token) {
      const std::vector<uint8_t> bytes = traces.make_record(token, 20);
      examples.push_back(*make_example(*parse_trace(bytes), options.window));
    }
    HeadTrainer trainer(begin_new_head(every(1, 0), target, options), target);
    learn(trainer, 5);
    EXPECT_TRUE(save_state(traces.file("state"), trainer.state, target).ok());
  }
  // `size` tokens, `step` apart.
  static DraftVocabulary every(int32_t step, int32_t first, int64_t size = kSize) {
    std::vector<int32_t> tokens;
    while (std::ssize(tokens) < size) {
      tokens.push_back(first + step * static_cast<int32_t>(tokens.size()));
    }
    return {std::move(tokens), TraceFolder::kVocabSize};
  }
  HeadTrainer trained() const {
    return {*load_state(traces.file("state"), target, options.adam, options.freeze_output), target};
  }
  void learn(HeadTrainer& trainer, int steps) const {
    for (int i = 0; i < steps; ++i) {
      ASSERT_EQ(trainer.step(examples, options.loss).outcome, StepOutcome::kDone);
    }
  }
  std::string bytes_of(const TrainingState& state) const {
    EXPECT_TRUE(save_state(traces.file("saved"), state, target).ok());
    return read_file(traces.file("saved"));
  }

  TraceFolder traces;
  LearningTarget target = traces.target();
  TrainingOptions options;
  std::vector<Example> examples;
};

INSTANTIATE_TEST_SUITE_P(FrozenOutput, ChangeVocabulary, testing::Bool());

TEST_P(ChangeVocabulary, ChangesNothingWhereAllTokensStay) {
  HeadTrainer straight = trained();
  HeadTrainer changed = trained();
  changed.change_vocabulary(every(1, 0));
  EXPECT_EQ(bytes_of(changed.state), bytes_of(straight.state));
  learn(straight, 4);
  learn(changed, 4);
  EXPECT_EQ(bytes_of(changed.state), bytes_of(straight.state));
}

TEST_P(ChangeVocabulary, KeepsWhatTokensHave) {
  HeadTrainer before = trained();
  HeadTrainer after = trained();
  after.change_vocabulary(every(2, 0));  // half of the tokens stay
  const Adam& old_adam = before.state.adam;
  const Adam& adam = after.state.adam;
  EXPECT_EQ(adam.num_steps, old_adam.num_steps);
  const at::Tensor& old_head = before.state.head.lm_head;
  const at::Tensor& head = after.state.head.lm_head;
  for (int64_t i = 0; i < kSize; ++i) {
    const int64_t token = 2 * i;
    EXPECT_EQ(after.state.vocabulary.draft_id(token), i);
    const bool stays = token < kSize;
    EXPECT_TRUE(head[i].equal(stays ? old_head[token] : target.output[token].to(at::kFloat))) << i;
    if (options.freeze_output) continue;
    for (const auto moments : {&Adam::first_moments, &Adam::second_moments}) {
      const at::Tensor& old = (old_adam.*moments).back();
      const at::Tensor row = (adam.*moments).back()[i];
      EXPECT_TRUE(row.equal(stays ? old[token] : at::zeros_like(row))) << i;
      EXPECT_EQ(row.abs().max().item<float>() > 0.0f, stays) << i;
    }
    const at::Tensor average = adam.averages.back()[i];
    EXPECT_TRUE(average.equal(stays ? old_adam.averages.back()[token] : head[i])) << i;
  }
  // Nothing else is touched, and the optimiser still has hold of the matrix.
  EXPECT_TRUE(after.state.head.fc.equal(before.state.head.fc));
  EXPECT_TRUE(adam.first_moments.front().equal(old_adam.first_moments.front()));
  const at::Tensor unchanged = head.detach().clone();
  learn(after, 1);
  EXPECT_EQ(head.equal(unchanged), options.freeze_output);
}

TEST_P(ChangeVocabulary, TakesAnotherSize) {
  const HeadTrainer before = trained();
  for (const int64_t size : {kSize / 2, 2 * kSize}) {
    HeadTrainer after = trained();
    after.change_vocabulary(every(1, 0, size));
    const at::Tensor head = after.state.head.lm_head.detach().clone();
    ASSERT_EQ(head.size(0), size);
    const int64_t kept = std::min(size, kSize);
    EXPECT_TRUE(head.slice(0, 0, kept).equal(before.state.head.lm_head.slice(0, 0, kept)));
    EXPECT_TRUE(head.slice(0, kept).equal(target.output.slice(0, kept, size).to(at::kFloat)));
    learn(after, 2);
    EXPECT_EQ(after.state.head.lm_head.equal(head), options.freeze_output);
    const std::string saved = bytes_of(after.state);
    const auto loaded =
        load_state(traces.file("saved"), target, options.adam, options.freeze_output);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_EQ(bytes_of(*loaded), saved);
  }
}

TEST_P(ChangeVocabulary, DraftsWithTheAverage) {
  const HeadTrainer trainer = trained();
  const Head averaged = trainer.state.averaged();
  EXPECT_TRUE(averaged.fc.equal(trainer.state.adam.averages.front()));
  EXPECT_FALSE(averaged.fc.equal(trainer.state.head.fc));
  EXPECT_EQ(averaged.lm_head.equal(trainer.state.head.lm_head), options.freeze_output);
  ASSERT_TRUE(publish_head(traces.file("head"), averaged, trainer.state.vocabulary, target).ok());
  const auto begun = begin_from_head(traces.file("head"), target, options);
  EXPECT_TRUE(begun->adam.averages.front().equal(begun->head.fc)) << "there were no steps yet";
}

TEST_P(ChangeVocabulary, IsSaved) {
  HeadTrainer changed = trained();
  changed.change_vocabulary(every(3, 1));
  changed.state.progress = {.epochs = 1,
                            .records = 2,
                            .skipped = 3,
                            .earlier_steps = 4,
                            .trained_tokens = 5,
                            .generation = 6,
                            .last_record = 7,
                            .told_record = 8,
                            .new_records = 9};
  const std::string saved = bytes_of(changed.state);
  const auto loaded = load_state(traces.file("saved"), target, options.adam, options.freeze_output);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->vocabulary.token_of(), every(3, 1).token_of());
  EXPECT_EQ(loaded->progress.earlier_steps, 4);
  EXPECT_EQ(loaded->progress.new_records, 9);
  EXPECT_EQ(bytes_of(*loaded), saved);
}

}  // namespace
}  // namespace forerun
