// What is drafted and does not come is kept where somebody learns: the states behind it are those
// that a plain run over the wrong text computes, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "engine/engine_fixture.h"
#include "models/decoder.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

constexpr int32_t kVocabSize = 320;

// A copy of what an ending sequence tells of what was drafted in vain.
struct Row {
  RejectedRow row;
  std::vector<uint16_t> final_state;
};
struct Ended {
  std::vector<int32_t> tokens;
  int64_t prompt_tokens = 0;
  int choice = 0;
  std::vector<Row> rows;
  bool keeps = false;

  // The text up to row i, itself included.
  std::vector<int32_t> text_of(size_t i) const {
    const RejectedRow& row = rows[i].row;
    std::vector<int32_t> text;
    if (row.parent_distance == 0) {
      text.assign(tokens.begin(), tokens.begin() + row.position + 1);
    } else {
      text = text_of(i - static_cast<size_t>(row.parent_distance));
    }
    text.push_back(row.token);
    return text;
  }
};

Ended copy_of(const SequenceEnd& end) {
  Ended ended;
  ended.tokens.assign(end.tokens.begin(), end.tokens.end());
  ended.prompt_tokens = std::ssize(end.request.prompt);
  ended.choice = end.choice;
  ended.keeps = end.rejected != nullptr;
  const int64_t d_model = tiny_model().descriptor().d_model;
  for (int64_t i = 0; ended.keeps && i < end.rejected->size(); ++i) {
    const uint16_t* final_state = end.rejected->final_state(i);
    ended.rows.push_back({end.rejected->row(i), {final_state, final_state + d_model}});
  }
  return ended;
}

// What the output matrix is multiplied with behind a text, of the decoder alone.
class PlainRun {
 public:
  PlainRun()
      : decoder_(tiny_model().descriptor(), tiny_model().weights(), kernels_, team_,
                 {.max_rows = 512, .max_logit_rows = 1}),
        pool_(kv_shape(tiny_model().descriptor(), kernels_.kv_type), 16) {
    for (int i = 0; i < 16; ++i) pages_.push_back(i);
  }

  std::vector<uint16_t> final_state(const std::vector<int32_t>& text) {
    const int64_t d = tiny_model().descriptor().d_model;
    const auto rows = static_cast<int>(text.size());
    std::vector<float> finals(static_cast<size_t>(rows * d));
    StateTap tap;
    tap.final_normed = finals.data();
    const RowGroup group{rows, 0, pages_, nullptr};
    decoder_.step({text, {&group, 1}, {}, &tap}, pool_);
    std::vector<uint16_t> stored;
    for (int64_t i = (rows - 1) * d; i < rows * d; ++i) stored.push_back(f32_to_bf16(finals[i]));
    return stored;
  }

 private:
  const KernelTable& kernels_ = kernel_table(available_isas().back());
  Team team_{1};
  Decoder decoder_;
  KvPool pool_;
  std::vector<int32_t> pages_;
};

class KeepRejected : public testing::Test {
 protected:
  KeepRejected() {
    options.keep_finals = true;
    options.max_rejected_rows = 4096;
    options.speculation.history = options.speculation.prediction = true;
    options.speculation.forced = true;
    options.speculation.max_draft = 9;
    options.on_sequence_end = [this](const SequenceEnd& end) { ended.push_back(copy_of(end)); };
  }

  static std::vector<Request> requests() {
    std::vector<Request> requests = mixed_requests(kVocabSize);
    for (Request& request : requests) request.conversation = 1;
    return requests;
  }
  static std::vector<Request> long_requests() {
    std::vector<Request> long_ones = requests();
    for (Request& request : long_ones) {
      request.max_tokens = 80;
      request.ignore_eos = true;
    }
    return long_ones;
  }
  // With predictions a third of whose tokens are wrong, and again, with history.
  EngineStats run(std::vector<Request> requests) {
    EngineOptions plain = tiny_options();
    RecordedEngine first(tiny_model(), available_isas().back(), /*num_threads=*/2, plain);
    const std::vector<Answers> answers = first.run(requests);
    requests = predicted(std::move(requests), answers, /*wrong_every=*/3);
    RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2, options);
    recorded.run(requests);
    recorded.run(requests);
    return recorded.stats();
  }

  void expect_true_states() {
    PlainRun plain;
    for (const Ended& one : ended) {
      for (size_t i = 0; i < one.rows.size(); ++i) {
        ASSERT_EQ(one.rows[i].final_state, plain.final_state(one.text_of(i)))
            << "row " << i << " behind position " << one.rows[i].row.position;
      }
    }
  }
  // Order, places and depths; and that the first token of a branch is none that came.
  void expect_branches() {
    for (const Ended& one : ended) {
      for (size_t i = 0; i < one.rows.size(); ++i) {
        const RejectedRow& row = one.rows[i].row;
        ASSERT_GE(row.position, one.prompt_tokens);
        ASSERT_LT(row.position, std::ssize(one.tokens) - 1);
        const int64_t before = i == 0 ? 0 : one.rows[i - 1].row.position;
        ASSERT_GE(row.position, before);
        if (row.parent_distance == 0) {
          ASSERT_NE(row.token, one.tokens[static_cast<size_t>(row.position + 1)]);
          ASSERT_GE(row.depth, 1);
          continue;
        }
        ASSERT_LE(row.parent_distance, static_cast<int32_t>(i));
        const RejectedRow& parent = one.rows[i - static_cast<size_t>(row.parent_distance)].row;
        ASSERT_EQ(parent.position, row.position);
        ASSERT_EQ(parent.depth + 1, row.depth);
      }
    }
  }
  int64_t num_rows() const {
    int64_t sum = 0;
    for (const Ended& one : ended) sum += std::ssize(one.rows);
    return sum;
  }

  EngineOptions options = tiny_options();
  std::vector<Ended> ended;
};

TEST_F(KeepRejected, HoldsTheStatesOfTheWrongText) {
  const EngineStats stats = run(requests());
  expect_branches();
  expect_true_states();
  EXPECT_GT(num_rows(), 500);
  // But for what was drafted behind an output's end.
  const SpeculationStats& drafts = stats.speculation;
  EXPECT_LE(num_rows(), drafts.draft_tokens - drafts.accepted_tokens);
  EXPECT_GT(num_rows(), (drafts.draft_tokens - drafts.accepted_tokens) * 9 / 10);
  int64_t behind_accepted = 0, behind_rejected = 0, beside = 0;
  for (const Ended& one : ended) {
    std::map<int64_t, int> first_tokens;  // of branches, by position
    for (const Row& row : one.rows) {
      const bool is_first = row.row.parent_distance == 0;
      behind_accepted += is_first && row.row.depth > 1 ? 1 : 0;
      behind_rejected += is_first ? 0 : 1;
      if (is_first) beside += ++first_tokens[row.row.position] == 2 ? 1 : 0;
    }
  }
  EXPECT_GT(behind_accepted, 20);
  EXPECT_GT(behind_rejected, 100);
  EXPECT_GT(beside, 0) << "no tree had two branches at one place";
}

TEST_F(KeepRejected, ThroughPreemption) {
  options.kv_tokens = 16 * 32;
  const EngineStats stats = run(long_requests());
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_GT(num_rows(), 100);
  expect_branches();
  expect_true_states();
}

TEST_F(KeepRejected, OfAHeadsDrafts) {
  options.speculation.history = options.speculation.prediction = false;
  options.speculation.eagle3 = &tiny_head();
  run(requests());
  EXPECT_GT(num_rows(), 500);
  expect_branches();
  expect_true_states();
}

TEST_F(KeepRejected, AsManyAsItIsTold) {
  options.max_rejected_rows = 1;  // room for a draft
  run(long_requests());
  expect_branches();
  expect_true_states();
  int64_t most = 0;
  for (const Ended& one : ended) most = std::max(most, std::ssize(one.rows));
  EXPECT_LE(most, kMaxDraft);
  EXPECT_GT(most, kMaxDraft / 2);
}

TEST(RejectedRows, KeepsTheNewest) {
  RejectedRows rows(/*most_rows=*/kMaxDraft, /*d_model=*/2);
  int64_t pushed = 0;
  for (int64_t position = 10; position < 60; ++position) {
    // Chains of 1 … 9 rows.
    for (int32_t depth = 1; depth <= 1 + position % 9; ++depth, ++pushed) {
      const auto value = static_cast<uint16_t>(100 * position + depth);
      const uint16_t states[] = {value, static_cast<uint16_t>(value + 1)};
      rows.push({position, depth == 1 ? 0 : 1, depth, /*token=*/depth}, states);
    }
    ASSERT_LE(rows.size(), kMaxDraft);
    ASSERT_GT(rows.size(), std::min<int64_t>(pushed, kMaxDraft) - 9);
    ASSERT_EQ(rows.row(rows.size() - 1).position, position);
    for (int64_t i = 0; i < rows.size(); ++i) {
      const RejectedRow& row = rows.row(i);
      const auto value = static_cast<uint16_t>(100 * row.position + row.depth);
      ASSERT_EQ(rows.final_state(i)[0], value);
      ASSERT_EQ(rows.final_state(i)[1], value + 1);
      // The oldest position is there as a whole.
      ASSERT_EQ(row.parent_distance, row.depth == 1 ? 0 : 1);
      ASSERT_LE(row.parent_distance, i);
    }
  }
}

TEST_F(KeepRejected, NothingWhereNobodyLearns) {
  run(mixed_requests(kVocabSize));  // of no conversation
  for (const Ended& one : ended) EXPECT_FALSE(one.keeps);
  ended.clear();
  options.max_rejected_rows = 0;
  run(requests());
  for (const Ended& one : ended) EXPECT_FALSE(one.keeps);
  ended.clear();
  options.max_rejected_rows = 4096;
  options.keep_finals = false;
  run(requests());
  for (const Ended& one : ended) EXPECT_FALSE(one.keeps);
  EXPECT_FALSE(ended.empty());
}

// A draft that was right beyond the output's end says nothing of what hangs from there.
TEST_F(KeepRejected, NothingBehindTheEnd) {
  Request request;
  request.prompt = random_tokens(40, kVocabSize, /*stream=*/2);
  request.max_tokens = 12;
  request.ignore_eos = true;
  request.sampling.seed = 3;
  request.conversation = 1;
  RecordedEngine plain(tiny_model(), available_isas().back(), /*num_threads=*/1, tiny_options());
  const std::vector<int32_t> output = plain.run({request})[0].choices[0].token_ids();
  // Ends with its fifth token, which is new, and is expected to go on, right and then wrong.
  request.prediction = output;
  request.prediction[7] ^= 1;
  request.stop_ids = {output[4]};
  ASSERT_EQ(std::ranges::find(output, output[4]) - output.begin(), 4);
  RecordedEngine drafting(tiny_model(), available_isas().back(), /*num_threads=*/1, options);
  drafting.run({request});
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].tokens.size(), 45u);
  EXPECT_GT(drafting.stats().speculation.draft_tokens, 5);
  expect_branches();
  for (const Row& row : ended[0].rows) EXPECT_LT(row.row.position, 44);
  EXPECT_LT(num_rows(), drafting.stats().speculation.draft_tokens -
                            drafting.stats().speculation.accepted_tokens);
}

}  // namespace
}  // namespace forerun
