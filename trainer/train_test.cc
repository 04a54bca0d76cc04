#include "train.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "head_files.h"
#include "threads.h"
#include "trainer_fixture.h"

namespace forerun {
namespace {

class Train : public testing::Test {
 protected:
  Train() {
    set_num_threads(1);
    options.traces = traces.path();
    options.out = traces.file("head");
    options.epochs = 1000;
    options.draft_vocab = TraceFolder::kVocabSize;
    options.report_every = 1;
    options.loss.steps = 3;
    options.batch = 8;
    traces.write_records(traces.make_records(24));
  }
  Result<TrainResult> run() {
    reports.clear();
    return train(options, [&](const TrainReport& report) { reports.push_back(report); });
  }
  std::string fault() {
    const Result<TrainResult> result = run();
    return result.ok() ? "" : result.error().message;
  }
  std::string weights() const { return read_file(options.out + "/model.safetensors"); }

  TraceFolder traces;
  TrainOptions options;
  std::vector<TrainReport> reports;
};

TEST_F(Train, LearnsWhatFollowsWhat) {
  options.steps = 150;
  options.adam = {.learning_rate = 3e-3, .warmup_steps = 10};
  const Result<TrainResult> result = run();
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->steps, 150);
  ASSERT_EQ(reports.size(), 150u);
  EXPECT_LT(reports.front().accuracies[0], 0.5);
  for (const double accuracy : reports.back().accuracies) EXPECT_GT(accuracy, 0.97);
  EXPECT_GT(reports.back().acceptance_length(), 3.8);
  EXPECT_LT(reports.back().loss, 0.1 * reports.front().loss);
}

// What is behind wrong tokens counts only where it is asked for, and is learnt then.
TEST_F(Train, LearnsWhatFollowsWrongTokens) {
  options.steps = 3;
  ASSERT_EQ(fault(), "");
  const std::string plain = weights();
  const std::string plain_state = read_file(options.out + ".state");
  traces.write_records(traces.make_records_with_branches(24));
  ASSERT_EQ(fault(), "");
  EXPECT_EQ(weights(), plain);
  EXPECT_EQ(read_file(options.out + ".state"), plain_state);
  EXPECT_EQ(reports[0].branch_rows, 0);
  const double plain_loss = reports[0].loss;

  options.loss.discard = 0.5;
  options.steps = 150;
  options.adam = {.learning_rate = 3e-3, .warmup_steps = 10};
  ASSERT_EQ(fault(), "");
  EXPECT_NE(weights(), plain);
  EXPECT_NEAR(reports[0].loss, plain_loss, 1e-5);
  EXPECT_EQ(reports[0].branch_rows, 8 * 16);
  EXPECT_GT(reports[0].branch_loss, 1.0);
  EXPECT_LT(reports.back().branch_loss, 0.2 * reports[0].branch_loss);
  EXPECT_LT(reports.back().loss, 0.2 * reports[0].loss);
}

TEST_F(Train, LearnsAsMuchWithProductsInBf16) {
  options.steps = 60;
  options.adam = {.learning_rate = 3e-3, .warmup_steps = 10};
  ASSERT_EQ(fault(), "");
  const double exact = reports.back().loss;
  options.loss.bf16_products = true;
  ASSERT_EQ(fault(), "");
  EXPECT_NE(reports.back().loss, exact);
  EXPECT_NEAR(reports.back().loss, exact, 0.05 * reports.front().loss);
}

TEST_F(Train, GoesOnWhereItWasKilled) {
  for (const bool freeze : {false, true}) {
    options.freeze_output = freeze;
    options.resume = false;
    options.steps = 7;
    ASSERT_EQ(fault(), "");
    const std::string straight = weights();
    const std::string state = read_file(options.out + ".state");
    // Killed behind the fifth step, while the next state was written.
    options.steps = 5;
    ASSERT_EQ(fault(), "");
    EXPECT_NE(weights(), straight);
    traces.write("head.state.partial", state.substr(0, 100));
    options.resume = true;
    options.steps = 7;
    ASSERT_EQ(fault(), "");
    EXPECT_EQ(reports.size(), 2u);
    EXPECT_EQ(reports.front().step, 6);
    EXPECT_EQ(weights(), straight);
    EXPECT_EQ(read_file(options.out + ".state"), state);
  }
}

TEST_F(Train, ResumesFromNothingWhereNothingWasSaved) {
  options.resume = true;
  options.steps = 2;
  EXPECT_EQ(fault(), "");
  EXPECT_EQ(reports.size(), 2u);
}

TEST_F(Train, SavesAlongTheWay) {
  options.save_every = 2;
  options.steps = 5;
  std::vector<bool> there;
  const auto result = train(options, [&](const TrainReport&) {
    there.push_back(std::filesystem::exists(options.out + "/config.json"));
  });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(there, (std::vector{false, false, true, true, true}));
}

TEST_F(Train, BeginsWithAHeadThatIsThere) {
  options.steps = 20;
  options.draft_vocab = 40;
  ASSERT_EQ(fault(), "");
  const double learnt = reports.back().loss;
  options.init = options.out;
  options.out = traces.file("second");
  options.draft_vocab = 8;  // of new heads
  options.steps = 1;
  ASSERT_EQ(fault(), "");
  EXPECT_LT(reports.front().loss, 1.2 * learnt);
  EXPECT_EQ(load_head(options.out, traces.target())->vocabulary.size(), 40);
}

TEST_F(Train, KeepsTheOutputMatrixWhereItIsTold) {
  const LearningTarget target = traces.target();
  options.steps = 3;
  options.adam.learning_rate = 0.1;  // so that a norm's change is not lost in rounding
  for (const bool freeze : {true, false}) {
    options.freeze_output = freeze;
    ASSERT_EQ(fault(), "");
    const Head head = load_head(options.out, target)->head;
    EXPECT_EQ(head.lm_head.equal(target.output.to(at::kFloat)), freeze);
    EXPECT_FALSE(head.hidden_norm.equal(at::ones_like(head.hidden_norm)));
  }
}

TEST_F(Train, PassesOverWhatIsNotFinite) {
  std::vector<std::vector<uint8_t>> records = traces.make_records(24);
  std::vector<uint8_t> broken = traces.make_record(3, 16);
  const TraceLayout layout = trace_layout(16, 15, TraceFolder::kWidth);
  std::memset(broken.data() + layout.states + 64, 0xff, 2);  // a NaN
  records.push_back(broken);
  traces.write_records(records);
  options.epochs = 2;
  ASSERT_EQ(fault(), "");
  EXPECT_EQ(reports.back().step, 6);  // three whole batches of eight in each pass
  EXPECT_EQ(reports.back().skipped, 1);
  traces.write_records({broken});
  EXPECT_EQ(fault(), traces.path() + ": the loss or gradient of every batch was not finite");
}

TEST_F(Train, SaysWhatIsWrong) {
  traces.write_records({});
  EXPECT_EQ(fault(), traces.path() + ": there is no record to learn from");
  traces.write_records({traces.make_record(1, 9, [](TraceHeader& h) { h.weights = 1; })});
  EXPECT_EQ(fault(), traces.path() + ": there is no record to learn from; 1 refused, the first: " +
                         traces.path() +
                         ": a record is of weights 0000000000000001; the target's are "
                         "0123456789abcdef");
  traces.write_records(
      {traces.make_record(1, 9, [](TraceHeader& h) { h.conversation = TraceFolder::kHeldOut; })});
  EXPECT_EQ(fault(), traces.path() + ": there is no record to learn from; 1 held out of training");
  // Prompts alone.
  traces.write_records({traces.make_record(1, 9, [](TraceHeader& h) { h.prompt_tokens = 9; })});
  EXPECT_EQ(fault(), traces.path() + ": there is no record to learn from");

  traces.write_records(traces.make_records(8));
  options.steps = 1;
  traces.write("file", "");
  options.out = traces.file("file/head");
  EXPECT_NE(fault().find("cannot create " + options.out), std::string::npos) << fault();
  options.out = traces.path();
  EXPECT_NE(fault().find("which is not of a head; it is not replaced"), std::string::npos);
  options.out = traces.file("file");
  EXPECT_NE(fault().find("cannot replace " + options.out), std::string::npos) << fault();
  options.out = traces.file("new/folder/head");
  EXPECT_EQ(fault(), "");
  options.out = traces.file("head");
  options.init = traces.file("nowhere");
  EXPECT_NE(fault().find(options.init), std::string::npos) << fault();
  options.init.clear();
  options.resume = true;
  traces.write("head.state", "no tensors");
  EXPECT_EQ(fault().find(options.out + ".state"), 0u) << fault();
  options.traces = traces.file("nowhere");
  EXPECT_NE(fault().find(options.traces + "/target.json"), std::string::npos) << fault();
}

TEST_F(Train, RefusesAStateOfAnotherTarget) {
  options.steps = 1;
  ASSERT_EQ(fault(), "");
  Json description = *read_json_file(traces.file("target.json"));
  description["fingerprint"] = "00000000000000aa";
  traces.write("target.json", description.dump());
  options.resume = true;
  EXPECT_EQ(fault(), options.out + ".state is of a head of another target's weights");
}

}  // namespace
}  // namespace forerun
