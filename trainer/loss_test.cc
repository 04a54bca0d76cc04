#include "loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include "trainer_fixture.h"
#include "unroll.h"

namespace forerun {
namespace {

constexpr int64_t kVocabSize = 12;
constexpr int64_t kWidth = kTinySizes.d_model;

// A record in memory whose tokens count up.
struct Record {
  explicit Record(int64_t num_tokens, int64_t prompt_tokens, int64_t first_state,
                  int64_t num_states) {
    header.num_tokens = num_tokens;
    header.prompt_tokens = prompt_tokens;
    header.first_state = first_state;
    header.num_states = num_states;
    header.d_model = kWidth;
    for (int64_t i = 0; i < num_tokens; ++i) tokens.push_back((3 * i + 1) % kVocabSize);
    const std::string name = "states" + std::to_string(num_tokens);
    states = (8 * tiny_tensor(name, {num_states, 3 * kWidth})).to(at::kBFloat16);
    finals = (20 * tiny_tensor("finals", {num_states, kWidth})).to(at::kBFloat16);
  }
  static std::span<const uint16_t> values(const at::Tensor& tensor) {
    return {static_cast<const uint16_t*>(tensor.data_ptr()), static_cast<size_t>(tensor.numel())};
  }
  std::optional<Example> example(int64_t max_slots = 512) const {
    TraceRecord record = {header, tokens, /*first_drafts=*/{}, values(states), values(finals)};
    if (branches.empty()) return make_example(record, max_slots);
    record.branches = branches;
    record.branch_finals = values(branch_finals);
    return make_example(record, max_slots, /*with_branches=*/true);
  }
  void add_branches(std::vector<TraceBranchRow> rows) {
    branches = std::move(rows);
    const std::string name = "branches" + std::to_string(branches.size());
    branch_finals = (20 * tiny_tensor(name, {std::ssize(branches), kWidth})).to(at::kBFloat16);
  }

  TraceHeader header;
  std::vector<int32_t> tokens;
  at::Tensor states, finals;
  std::vector<TraceBranchRow> branches;
  at::Tensor branch_finals;
};

class Loss : public testing::Test {
 protected:
  Loss() {
    for (const HeadTensor& row : kHeadTensors) {
      head.*row.tensor = (head.*row.tensor).to(at::kDouble);
    }
    // Enough for attention and the gates to matter.
    for (at::Tensor* matrix : {&head.fc, &head.q, &head.k, &head.v, &head.o, &head.gate, &head.up,
                               &head.down, &head.lm_head}) {
      matrix->mul_(8);
    }
  }
  BatchLoss loss(std::vector<Example> examples) const {
    return batch_loss(head, matrices, vocabulary, make_batch(examples), options);
  }
  std::vector<int64_t> counted(const Record& record, int64_t max_slots = 512) const {
    std::vector<int64_t> counts;
    for (const StepTally& step : loss({*record.example(max_slots)}).steps) {
      counts.push_back(step.counted);
    }
    return counts;
  }

  Head head = make_tiny_trainer_head(kTinySizes);
  DraftVocabulary vocabulary{{0, 1, 2, 4, 7, 10, 11}, kVocabSize};
  TargetMatrices matrices{
      .embedding = tiny_tensor("embed_tokens.weight", {kVocabSize, kWidth}),
      .output = 8 * tiny_tensor("output", {kTinySizes.draft_vocab_size, kWidth}).to(at::kDouble)};
  LossOptions options{.steps = 3};
};

using Counts = std::vector<int64_t>;

TEST_F(Loss, CountsResponseTokensThatHaveStates) {
  // Tokens 1, 4, 7, 10 in turn: all in the vocabulary.
  EXPECT_EQ(counted(Record(10, 4, 0, 9)), (Counts{6, 6, 6}));
  options.steps = 5;
  EXPECT_EQ(counted(Record(10, 4, 0, 9)), (Counts{6, 6, 6, 5, 4}));
  // States of the last token, if there are any, are of no use.
  EXPECT_EQ(counted(Record(10, 4, 0, 10)), (Counts{6, 6, 6, 5, 4}));
  // Positions 2 … 8, then 2 … 6: what is predicted there has no slot before it.
  EXPECT_EQ(counted(Record(10, 4, 2, 7)), (Counts{6, 5, 4, 3, 2}));
  EXPECT_EQ(counted(Record(10, 4, 2, 5)), (Counts{4, 3, 2, 1, 0}));
  // The newest slots only: positions 5 … 8.
  EXPECT_EQ(counted(Record(10, 4, 0, 9), /*max_slots=*/4), (Counts{3, 2, 1, 0, 0}));
  EXPECT_FALSE(Record(10, 10, 0, 9).example().has_value());
  EXPECT_FALSE(Record(10, 4, 4, 1).example().has_value());
  EXPECT_FALSE(Record(10, 4, 3, 0).example().has_value());
}

TEST_F(Loss, LeavesOutWhatIsNotInTheDraftVocabulary) {
  vocabulary = DraftVocabulary({0, 1, 2, 3, 4, 7, 11}, kVocabSize);  // without 10: tokens 7 and 3
  const BatchLoss out = loss({*Record(10, 4, 0, 9).example()});
  EXPECT_EQ(out.steps[0].predictions, 6);
  EXPECT_EQ(out.steps[0].counted, 5);
  vocabulary = DraftVocabulary({0, 2, 3, 5, 6, 8, 9}, kVocabSize);
  EXPECT_FALSE(loss({*Record(10, 4, 0, 9).example()}).loss.defined());
}

TEST_F(Loss, IgnoresTheTargetsDistributionsWithinThePrompt) {
  Record record(10, 4, 0, 9);
  const double before = loss({*record.example()}).loss.item<double>();
  record.finals.narrow(0, 0, 3).fill_(5.0);
  EXPECT_EQ(loss({*record.example()}).loss.item<double>(), before);
  record.finals.narrow(0, 3, 1).fill_(5.0);
  EXPECT_NE(loss({*record.example()}).loss.item<double>(), before);
}

TEST_F(Loss, OfABatchIsThatOfItsExamples) {
  const std::vector<Example> examples = {*Record(10, 4, 0, 9).example(),
                                         *Record(16, 3, 2, 13).example(),
                                         *Record(7, 5, 0, 6).example()};
  const BatchLoss together = loss(examples);
  double sum = 0.0;
  for (size_t i = 0; i < together.steps.size(); ++i) {
    double of_step = 0.0;
    int64_t count = 0;
    for (const Example& example : examples) {
      const StepTally& alone = loss({example}).steps[i];
      of_step += alone.loss * static_cast<double>(alone.counted);
      count += alone.counted;
    }
    EXPECT_EQ(together.steps[i].counted, count);
    EXPECT_NEAR(together.steps[i].loss, of_step / static_cast<double>(count), 1e-12);
    sum += std::pow(0.8, i) * together.steps[i].loss;
  }
  EXPECT_NEAR(together.loss.item<double>(), sum, 1e-12);
}

// By positions: step i at p reads the states at p and the token at p + 1 + i, and predicts the
// token at p + 2 + i, which the target's final state at p + 1 + i predicts.
TEST_F(Loss, ComparesAPredictionWithTheTargetsOfTheSameToken) {
  const Record record(10, 4, 2, 7);
  const std::vector<int64_t> tokens(record.tokens.begin(), record.tokens.end());
  const at::Tensor embeddings =
      matrices.embedding.index_select(0, at::tensor(tokens).narrow(0, 3, 7)).to(at::kDouble);
  const at::Tensor states = record.states.to(at::kDouble);
  const at::Tensor finals = record.finals.to(at::kDouble);
  const BatchLoss found = loss({*record.example()});
  for (int64_t i = 0; i < options.steps; ++i) {
    double sum = 0.0;
    int64_t count = 0;
    int64_t hits = 0;
    for (int64_t p = 2; p + 1 + i < 9; ++p, ++count) {
      const int64_t slots = p - 1;
      const auto outputs =
          unroll(head, embeddings.narrow(0, 0, slots + i).unsqueeze(0),
                 states.narrow(0, 0, slots).unsqueeze(0), slots - 1, static_cast<int>(i) + 1);
      const at::Tensor logits = head_logits(head, outputs.back().bases[0]);
      const at::Tensor final_state = finals.narrow(0, p + 1 + i - 2, 1);
      const at::Tensor log_probs = at::log_softmax(at::linear(final_state, matrices.output), -1);
      sum += row_losses(options.kind, log_probs, logits).item<double>();
      const auto token = tokens[static_cast<size_t>(p + 2 + i)];
      hits += logits.argmax().item<int64_t>() == vocabulary.draft_id(token) ? 1 : 0;
    }
    const StepTally& tally = found.steps[static_cast<size_t>(i)];
    EXPECT_EQ(tally.counted, count);
    EXPECT_EQ(tally.hits, hits);
    EXPECT_NEAR(tally.loss, sum / static_cast<double>(count), 1e-9) << "step " << i;
  }
}

// A record of positions 2 … 14, and what hangs from them; where the unroll of four steps computes a
// row: the position whose states its draft begins with, and the step. −1: nowhere.
struct PlacedRow {
  TraceBranchRow row;
  int64_t base;
  int64_t step;
};
const std::vector<PlacedRow> kPlacedRows = {
    {{2, -1, 1, 3}, -1, -1},                         // no position with states is before it
    {{2, 0, 2, 4}, -1, -1},  {{3, -1, 3, 5}, 2, 1},  // its draft began before the states
    {{6, -1, 1, 1}, 5, 1},                           // two branches of one place
    {{6, 3, 2, 2}, 5, 2},                            //
    {{6, -1, 1, 9}, 5, 1},                           //
    {{6, 4, 3, 11}, 5, 3},                           //
    {{6, 6, 4, 0}, -1, -1},                          // behind the last step
    {{6, 5, 2, 8}, 5, 2},                            //
    {{6, 4, 3, 10}, 5, 3},                           //
    {{8, -1, 3, 6}, 5, 3},                           // two tokens of its draft came
    {{8, 10, 4, 7}, -1, -1},                         //
    {{9, -1, 7, 2}, 8, 1},    // its draft began earlier than the unroll reaches
    {{9, 12, 8, 4}, 8, 2},    //
    {{14, -1, 2, 4}, 12, 2},  // the last token with a slot
};

Record make_branched() {
  Record record(16, 3, 2, 13);
  std::vector<TraceBranchRow> rows;
  for (const PlacedRow& placed : kPlacedRows) rows.push_back(placed.row);
  record.add_branches(std::move(rows));
  return record;
}

class BranchLoss : public Loss {
 protected:
  BranchLoss() {
    options.steps = 4;
    options.discard = 0.3;
  }

  // The loss of what the head alone, without a batch or a branch, says behind the text of row i: it
  // reads the states up to the base and from then on its own.
  double alone(const Record& record, size_t i) const {
    const PlacedRow& placed = kPlacedRows[i];
    std::vector<int64_t> text;  // behind the first position with states
    for (int64_t p = record.header.first_state + 1; p <= placed.row.position; ++p) {
      text.push_back(record.tokens[static_cast<size_t>(p)]);
    }
    std::vector<int64_t> branch;
    for (auto row = static_cast<int32_t>(i); row >= 0; row = record.branches[row].parent) {
      branch.insert(branch.begin(), record.branches[static_cast<size_t>(row)].token);
    }
    text.insert(text.end(), branch.begin(), branch.end());
    const int64_t slots = placed.base - record.header.first_state + 1;
    EXPECT_EQ(std::ssize(text), slots + placed.step);
    const at::Tensor embeddings =
        matrices.embedding.index_select(0, at::tensor(text, at::kLong)).to(at::kDouble);
    const at::Tensor states = record.states.to(at::kDouble).narrow(0, 0, slots);
    const auto outputs = unroll(head, embeddings.unsqueeze(0), states.unsqueeze(0), slots - 1,
                                static_cast<int>(placed.step) + 1);
    const at::Tensor logits = head_logits(head, outputs.back().bases[0]);
    const at::Tensor final_state =
        record.branch_finals.narrow(0, static_cast<int64_t>(i), 1).to(at::kDouble);
    const at::Tensor log_probs = at::log_softmax(at::linear(final_state, matrices.output), -1);
    return row_losses(options.kind, log_probs, logits).item<double>();
  }
};

TEST_F(BranchLoss, OfARowIsThatOfAForwardOverItsTextAlone) {
  const Record record = make_branched();
  double sum = 0.0;
  double weighted = 0.0;
  int64_t count = 0;
  for (size_t i = 0; i < kPlacedRows.size(); ++i) {
    if (kPlacedRows[i].step < 0) continue;
    const double one = alone(record, i);
    sum += one;
    weighted += std::pow(options.decay, kPlacedRows[i].step) * one;
    ++count;
  }
  EXPECT_EQ(count, 11);
  const BatchLoss found = loss({*record.example()});
  EXPECT_EQ(found.branches.rows, count);
  EXPECT_NEAR(found.branches.loss, sum / static_cast<double>(count), 1e-9);
  const double counted = static_cast<double>(found.counted());
  EXPECT_NEAR(found.loss.item<double>() - found.sequence_loss, options.discard * weighted / counted,
              1e-9);
}

// Each row's own: it alone makes the difference.
TEST_F(BranchLoss, OfEveryRowByItself) {
  const Record record = make_branched();
  Record without = record;
  for (size_t i = 0; i < kPlacedRows.size(); ++i) {
    if (kPlacedRows[i].step < 0) continue;
    Example example = *record.example();
    // Two rows hang from no slot: they are not there.
    example.branch_finals.narrow(0, static_cast<int64_t>(i) - 2, 1).fill_(0.5);
    without.branch_finals = record.branch_finals.clone();
    without.branch_finals.narrow(0, static_cast<int64_t>(i), 1).fill_(0.5);
    const double rows = static_cast<double>(loss({example}).branches.rows);
    EXPECT_NEAR(rows * (loss({*record.example()}).branches.loss - loss({example}).branches.loss),
                alone(record, i) - alone(without, i), 1e-9)
        << i;
  }
}

TEST_F(BranchLoss, OfABatchIsThatOfItsExamples) {
  const Record bare(10, 4, 0, 9);
  Record other(12, 4, 0, 11);
  other.add_branches({{5, -1, 1, 1}, {7, -1, 2, 3}, {7, 1, 3, 5}});
  const std::vector<Example> examples = {*other.example(), *bare.example(),
                                         *make_branched().example()};
  double sum = 0.0;
  int64_t rows = 0;
  for (const Example& example : examples) {
    const BatchLoss alone = loss({example});
    sum += static_cast<double>(alone.branches.rows) * alone.branches.loss;
    rows += alone.branches.rows;
  }
  const BatchLoss together = loss(examples);
  EXPECT_EQ(rows, 3 + 11);
  EXPECT_EQ(together.branches.rows, rows);
  EXPECT_NEAR(together.branches.loss, sum / static_cast<double>(rows), 1e-12);
}

TEST_F(BranchLoss, IsNothingWhereItDoesNotCount) {
  const Record record = make_branched();
  Record bare = record;
  bare.branches.clear();
  options.discard = 0.0;
  const BatchLoss found = loss({*record.example()});
  EXPECT_EQ(found.branches.rows, 0);
  EXPECT_EQ(found.loss.item<double>(), loss({*bare.example()}).loss.item<double>());
  EXPECT_EQ(found.flops, loss({*bare.example()}).flops);
  options.discard = 0.3;
  EXPECT_EQ(loss({*bare.example()}).loss.item<double>(), found.loss.item<double>());
  options.steps = 1;  // no step reads a drafted token
  EXPECT_EQ(loss({*record.example()}).branches.rows, 0);
}

TEST_F(BranchLoss, LeavesOutWhatHangsFromNoSlot) {
  const Example example = *make_branched().example(/*max_slots=*/6);  // positions 9 … 14
  ASSERT_EQ(example.branches.size(), 1u);
  EXPECT_EQ(example.branches[0].slot, 4);
  EXPECT_EQ(example.branches[0].token, 4);
  EXPECT_TRUE(example.branch_finals.equal(make_branched().branch_finals.narrow(0, 14, 1)));
  const Example longer = *make_branched().example(/*max_slots=*/8);  // positions 7 … 14
  ASSERT_EQ(longer.branches.size(), 5u);
  EXPECT_EQ(longer.branches[1].parent, 0);
}

TEST(DraftVocabulary, IsOfTheMostFrequentResponseTokens) {
  TokenCounts counts(/*vocab_size=*/9);
  TraceRecord record;
  const std::vector<int32_t> tokens = {8, 8, 8, 5, 3, 5, 3, 5, 7};
  record.tokens = tokens;
  record.header.prompt_tokens = 3;
  counts.add(record);
  EXPECT_EQ(counts.most_frequent(2).token_of(), (std::vector<int32_t>{3, 5}));
  // Then those of prompts, then the lowest ones.
  EXPECT_EQ(counts.most_frequent(5).token_of(), (std::vector<int32_t>{0, 3, 5, 7, 8}));
  EXPECT_EQ(counts.most_frequent(100).size(), 9);
  const DraftVocabulary vocabulary = counts.most_frequent(3);
  EXPECT_EQ(vocabulary.draft_id(5), 1);
  EXPECT_EQ(vocabulary.draft_id(8), -1);
}

TEST_F(Loss, IsTheOneItsNameSays) {
  const at::Tensor p = at::tensor({0.5, 0.25, 0.25}, at::kDouble).unsqueeze(0);
  const at::Tensor q = at::tensor({0.125, 0.375, 0.5}, at::kDouble).unsqueeze(0);
  const auto of = [&](LossKind kind) { return row_losses(kind, p.log(), q.log()).item<double>(); };
  EXPECT_NEAR(of(LossKind::kKl), 0.5 * std::log(4.0) + 0.25 * std::log(1.0 / 3.0), 1e-12);
  EXPECT_NEAR(of(LossKind::kReverseKl),
              -0.125 * std::log(4.0) + 0.375 * std::log(1.5) + 0.5 * std::log(2.0), 1e-12);
  EXPECT_NEAR(of(LossKind::kAcceptance), -std::log(0.625), 1e-12);
}

// With branches, and without.
class Gradients : public Loss, public testing::WithParamInterface<std::tuple<LossKind, double>> {
 protected:
  Gradients() {
    std::tie(options.kind, options.discard) = GetParam();
    if (options.discard > 0.0) examples[0] = *make_branched().example();
    for (const HeadTensor& row : kHeadTensors) (head.*row.tensor).set_requires_grad(true);
  }
  double value() const { return loss(examples).loss.item<double>(); }

  std::vector<Example> examples = {*Record(9, 3, 0, 8).example(), *Record(7, 2, 1, 5).example()};
};
INSTANTIATE_TEST_SUITE_P(Kinds, Gradients,
                         testing::Combine(testing::Values(LossKind::kKl, LossKind::kReverseKl,
                                                          LossKind::kAcceptance),
                                          testing::Values(0.0, 5.0)));

TEST_P(Gradients, AreThoseOfFiniteDifferences) {
  constexpr double kStep = 1e-5;
  loss(examples).loss.backward();
  const c10::NoGradGuard no_grad;
  for (const HeadTensor& row : kHeadTensors) {
    at::Tensor parameter = head.*row.tensor;
    auto* values = parameter.data_ptr<double>();
    const at::Tensor gradient = parameter.grad().flatten();
    const double largest = gradient.abs().max().item<double>();
    ASSERT_GT(largest, 1e-6) << row.name;
    for (const int64_t i : {int64_t{0}, parameter.numel() / 2 + 1, parameter.numel() - 1,
                            gradient.abs().argmax().item<int64_t>()}) {
      const double stored = values[i];
      values[i] = stored + kStep;
      const double above = value();
      values[i] = stored - kStep;
      const double below = value();
      values[i] = stored;
      EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * kStep), 1e-5 * largest + 1e-8)
          << row.name << "[" << i << "]";
    }
  }
}

// Of operands and of every product's result a bf16 keeps 8 bits; the masters' gradients have as
// many right, but are of the masters' type.
TEST_F(Loss, WithProductsInBf16IsNearlyTheSame) {
  for (const HeadTensor& row : kHeadTensors) (head.*row.tensor).set_requires_grad(true);
  const std::vector<Example> examples = {*Record(9, 3, 0, 8).example(),
                                         *Record(7, 2, 1, 5).example()};
  const BatchLoss exact = loss(examples);
  exact.loss.backward();
  std::vector<at::Tensor> gradients;
  for (const HeadTensor& row : kHeadTensors) {
    at::Tensor& gradient = (head.*row.tensor).mutable_grad();
    gradients.push_back(gradient);
    gradient = at::Tensor();
  }
  options.bf16_products = true;
  const BatchLoss rounded = loss(examples);
  rounded.loss.backward();
  EXPECT_NE(rounded.loss.item<double>(), exact.loss.item<double>());
  EXPECT_NEAR(rounded.loss.item<double>(), exact.loss.item<double>(), 0.01 * exact.sequence_loss);
  for (size_t i = 0; i < kHeadTensors.size(); ++i) {
    const at::Tensor gradient = (head.*kHeadTensors[i].tensor).grad();
    EXPECT_EQ(gradient.scalar_type(), at::kDouble);
    const double error = (gradient - gradients[i]).norm().item<double>();
    EXPECT_LT(error, 0.1 * gradients[i].norm().item<double>()) << kHeadTensors[i].name;
  }
}

}  // namespace
}  // namespace forerun
