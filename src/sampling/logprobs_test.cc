#include "sampling/logprobs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "sampling/reference_sampler.h"
#include "sampling/sampler.h"

namespace forerun {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(int count, float spread, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

double exact_logprob(const std::vector<float>& scores, const std::vector<int32_t>& ids,
                     int32_t token_id) {
  double sum = 0.0;
  for (int32_t id : ids) sum += std::exp(static_cast<double>(scores[id]) - scores[ids[0]]);
  return scores[token_id] - static_cast<double>(scores[ids[0]]) - std::log(sum);
}

class LogprobsTest : public ::testing::TestWithParam<Isa> {};

TEST_P(LogprobsTest, RawOnesMatchLogSoftmaxInDouble) {
  for (int size : {1, 3, 300, 49152}) {
    for (float spread : {0.001f, 2.0f, 30.0f}) {
      std::vector<float> logits = random_logits(size, spread, 1);
      if (spread == 2.0f) {
        for (float& logit : logits) logit = std::round(logit);
      }
      SamplerWorkspace workspace(size, GetParam());
      const std::vector<int32_t> order = reference_order(logits);
      const Distribution raw = *raw_distribution(logits, workspace);
      std::vector<TokenLogprob> top(20);
      const Logprobs result = logprobs_of(raw, size / 2, top, workspace);
      const double exact = exact_logprob(logits, order, size / 2);
      EXPECT_NEAR(result.chosen, exact, 1e-6 + 1e-7 * std::abs(exact));
      ASSERT_EQ(result.num_top, std::min(size, 20));
      for (int i = 0; i < result.num_top; ++i) {
        EXPECT_EQ(top[i].token_id, order[i]);
        EXPECT_NEAR(top[i].logprob, exact_logprob(logits, order, order[i]), 2e-6);
      }
    }
  }
}

TEST_P(LogprobsTest, ProcessedOnesAreOfTheDistributionSampledFrom) {
  const std::vector<float> logits = random_logits(5000, 2.0f, 2);
  SamplerWorkspace workspace(5000, GetParam());
  SamplingParams params;
  params.temperature = 0.7f;
  params.top_k = 50;
  params.top_p = 0.9f;
  params.logit_bias = {{17, 9.0f}};
  for (uint32_t position = 0; position < 50; ++position) {
    const Sampled sampled = *sample(logits, {params, nullptr, {}, {1, 0, position}}, workspace);
    const std::vector<float> scores =
        reference_scores(reference_processed(logits, params, {}, {}, {}), params);
    const std::vector<int32_t> kept = reference_kept(scores, params);
    std::vector<TokenLogprob> top(20);
    const Logprobs result = logprobs_of(sampled.distribution, sampled.token_id, top, workspace);
    EXPECT_NEAR(result.chosen, exact_logprob(scores, kept, sampled.token_id), 2e-6);
    ASSERT_EQ(result.num_top, std::min<int>(20, static_cast<int>(kept.size())));
    for (int i = 0; i < result.num_top; ++i) EXPECT_EQ(top[i].token_id, kept[i]);
  }
}

TEST_P(LogprobsTest, ProbabilitiesOfTheKeptTokensSumToOne) {
  const std::vector<float> logits = random_logits(100, 1.0f, 3);
  SamplerWorkspace workspace(100, GetParam());
  for (float top_p : {1.0f, 0.7f}) {
    for (float min_p : {0.0f, 0.2f}) {
      SamplingParams params;
      params.top_p = top_p;
      params.min_p = min_p;
      const Sampled sampled = *sample(logits, {params}, workspace);
      double sum = 0.0;
      for (int id = 0; id < 100; ++id) {
        sum += std::exp(logprobs_of(sampled.distribution, id, {}, workspace).chosen);
      }
      EXPECT_NEAR(sum, 1.0, 1e-5);
    }
  }
}

// Raw log-probs taken between sampling and the processed ones disturb neither, and see no edit.
TEST_P(LogprobsTest, RawAndProcessedDoNotDisturbEachOther) {
  const std::vector<float> logits = random_logits(1000, 2.0f, 4);
  SamplerWorkspace workspace(1000, GetParam());
  SamplingParams params;
  params.top_k = 3;
  params.logit_bias = {{5, 20.0f}};
  std::vector<TokenLogprob> top(5);
  const Sampled sampled = *sample(logits, {params}, workspace);
  const float before = logprobs_of(sampled.distribution, 5, top, workspace).chosen;
  const Distribution raw = *raw_distribution(logits, workspace);
  EXPECT_NEAR(logprobs_of(raw, 5, top, workspace).chosen,
              exact_logprob(logits, reference_order(logits), 5), 2e-6);
  const Logprobs after = logprobs_of(sampled.distribution, 5, top, workspace);
  EXPECT_EQ(after.chosen, before);
  EXPECT_EQ(after.num_top, 3);
}

TEST_P(LogprobsTest, EqualOnesComeByAscendingIdAndFilteredOnesAreImpossible) {
  const std::vector<float> logits = {1, 2, 2, 3, 2, -kInfinity};
  SamplerWorkspace workspace(6, GetParam());
  const Distribution raw = *raw_distribution(logits, workspace);
  std::vector<TokenLogprob> top(3);
  EXPECT_EQ(logprobs_of(raw, 5, top, workspace).chosen, -kInfinity);
  EXPECT_EQ(top[0].token_id, 3);
  EXPECT_EQ(top[1].token_id, 1);
  EXPECT_EQ(top[2].token_id, 2);
  top.resize(20);
  EXPECT_EQ(logprobs_of(raw, 0, top, workspace).num_top, 5);

  SamplingParams params;
  params.top_k = 2;
  const Sampled sampled = *sample(logits, {params}, workspace);
  EXPECT_EQ(logprobs_of(sampled.distribution, 2, top, workspace).chosen, -kInfinity);
  EXPECT_EQ(logprobs_of(sampled.distribution, 1, top, workspace).num_top, 2);
}

TEST_P(LogprobsTest, GreedyOnesAreAtTemperatureOne) {
  const std::vector<float> logits = {std::log(0.25f), std::log(0.75f)};
  SamplerWorkspace workspace(2, GetParam());
  SamplingParams params;
  params.temperature = 0.0f;
  const Sampled sampled = *sample(logits, {params}, workspace);
  EXPECT_NEAR(logprobs_of(sampled.distribution, sampled.token_id, {}, workspace).chosen,
              std::log(0.75), 1e-6);
}

TEST_P(LogprobsTest, BadLogitsAreAnError) {
  SamplerWorkspace workspace(2, GetParam());
  EXPECT_FALSE(raw_distribution(std::vector<float>{0.0f, std::nanf("")}, workspace).ok());
  EXPECT_FALSE(raw_distribution(std::vector<float>{kInfinity, 0.0f}, workspace).ok());
  EXPECT_FALSE(raw_distribution(std::vector<float>{-kInfinity, -kInfinity}, workspace).ok());
}

// Every ISA reports the same bits, so that a log-prob can be compared across machines.
TEST_P(LogprobsTest, AreTheSameBitsOnEveryIsa) {
  const std::vector<float> logits = random_logits(49152, 3.0f, 5);
  SamplerWorkspace workspace(49152, GetParam());
  SamplerWorkspace generic(49152, Isa::kGeneric);
  for (int32_t id = 0; id < 1000; id += 37) {
    const Distribution a = *raw_distribution(logits, workspace);
    const Distribution b = *raw_distribution(logits, generic);
    ASSERT_EQ(logprobs_of(a, id, {}, workspace).chosen, logprobs_of(b, id, {}, generic).chosen);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, LogprobsTest, ::testing::ValuesIn(available_isas()),
                         [](const auto& test) { return std::string(isa_name(test.param)); });

}  // namespace
}  // namespace forerun
