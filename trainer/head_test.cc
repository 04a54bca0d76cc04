#include "head.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "trainer_fixture.h"
#include "unroll.h"

namespace forerun {
namespace {

constexpr int64_t kVocabSize = 320;

const Json& golden() {
  static const Json document = *read_json_file(FORERUN_SOURCE_DIR "/tests/golden/tiny_eagle3.json");
  return document;
}

HeadSizes golden_sizes() {
  const Json& config = golden()["config"];
  return {.draft_vocab_size = config["draft_vocab_size"],
          .d_model = config["hidden_size"],
          .num_heads = config["num_attention_heads"],
          .num_kv_heads = config["num_key_value_heads"],
          .head_dim = config["head_dim"],
          .d_ff = config["intermediate_size"],
          .rms_epsilon = config["rms_norm_eps"],
          .rope_theta = config["rope_theta"]};
}

// Within `tolerance` of the largest.
void expect_near(const at::Tensor& found, const Json& expected, double tolerance,
                 const std::string& what) {
  const at::Tensor wanted = at::tensor(expected.get<std::vector<double>>());
  ASSERT_EQ(found.sizes(), wanted.sizes()) << what;
  const double largest = (found.to(at::kDouble) - wanted).abs().max().item<double>();
  EXPECT_LT(largest, tolerance * wanted.abs().max().item<double>()) << what;
}

// The golden file's last rows recycle the output of the row before: the steps of its last base.
class Golden : public testing::TestWithParam<int64_t> {
 protected:
  void expect_golden(const Head& head, double tolerance) const;
};
INSTANTIATE_TEST_SUITE_P(FirstBase, Golden, testing::Values(0, 17, 39));

void Golden::expect_golden(const Head& head, double tolerance) const {
  const Json& variant = golden()["variants"]["plain"];
  const int64_t width = head.sizes.d_model;
  const auto known = golden()["known"].get<int64_t>();
  const auto tokens = golden()["token_ids"].get<std::vector<int64_t>>();
  const int steps = static_cast<int>(std::ssize(tokens) - known) + 1;
  const at::Tensor embeddings = tiny_tensor("embed_tokens.weight", {kVocabSize, width})
                                    .index_select(0, at::tensor(tokens, at::kLong));
  const at::Tensor states = tiny_tensor("states", {known, 3 * width});
  const std::vector<StepOutputs> outputs =
      unroll(head, embeddings.unsqueeze(0), states.unsqueeze(0), GetParam(), steps);
  for (int step = 0; step < steps; ++step) {
    ASSERT_EQ(outputs[step].bases.sizes(), (std::vector<int64_t>{1, known - GetParam(), width}));
    const at::Tensor logits = head_logits(head, outputs[step].bases.select(1, -1)).squeeze(0);
    const std::string row = std::to_string(known - 1 + step);
    expect_near(logits, variant["logits"][row], tolerance, "row " + row);
  }
  expect_near(outputs.back().bases[0][-1], variant["last_output"], tolerance, "output");
}

TEST_P(Golden, UnrollsAsPyTorchDoes) {
  expect_golden(make_tiny_trainer_head(golden_sizes()), 1e-4);
}

// A bf16 has 8 bits: of operands and of every product's result, up to a 256th of itself is lost.
TEST_P(Golden, UnrollsNearlyAsPyTorchDoesWithProductsInBf16) {
  const Head head = with_matrices(make_tiny_trainer_head(golden_sizes()), at::kBFloat16);
  expect_golden(head, 1.0 / 64);
}

TEST(Head, BeginsWithTheTargetsOutputAndTheLastState) {
  const HeadSizes sizes = golden_sizes();
  const at::Tensor output = tiny_tensor("lm_head.weight", {sizes.draft_vocab_size, sizes.d_model});
  const at::Tensor norm = tiny_tensor("norm.weight", {sizes.d_model});
  const Head head = make_head(sizes, output, norm, /*seed=*/1);
  EXPECT_TRUE(head.lm_head.equal(output));
  EXPECT_TRUE(head.norm.allclose(0.3 * norm));
  const at::Tensor states = tiny_tensor("states", {5, 3 * sizes.d_model});
  const at::Tensor last = states.narrow(1, 2 * sizes.d_model, sizes.d_model);
  EXPECT_GT(at::cosine_similarity(at::linear(states, head.fc), last).min().item<double>(), 0.9);
  EXPECT_TRUE(make_head(sizes, output, norm, /*seed=*/1).fc.equal(head.fc));
  EXPECT_FALSE(make_head(sizes, output, norm, /*seed=*/2).fc.equal(head.fc));
}

}  // namespace
}  // namespace forerun
