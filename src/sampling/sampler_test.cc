#include "sampling/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "sampling/reference_sampler.h"

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

NoiseKey at(uint32_t position) {
  return {/*seed=*/7, /*choice_id=*/0, position};
}

class SamplerTest : public ::testing::TestWithParam<Isa> {
 protected:
  int32_t token(const std::vector<float>& logits, const SamplePoint& point) {
    SamplerWorkspace workspace(static_cast<int>(logits.size()), GetParam());
    Result<Sampled> sampled = sample(logits, point, workspace);
    EXPECT_TRUE(sampled.ok()) << sampled.error().message;
    return sampled->token_id;
  }
  std::string error(const std::vector<float>& logits, const SamplePoint& point) {
    SamplerWorkspace workspace(static_cast<int>(logits.size()), GetParam());
    Result<Sampled> sampled = sample(logits, point, workspace);
    EXPECT_FALSE(sampled.ok());
    return sampled.ok() ? "" : sampled.error().message;
  }
  std::vector<int32_t> kept(const std::vector<float>& logits, const SamplingParams& params) {
    SamplerWorkspace workspace(static_cast<int>(logits.size()), GetParam());
    const Result<Sampled> sampled = sample(logits, {params}, workspace);
    std::vector<int32_t> ids;
    for (int id = 0; id < static_cast<int>(logits.size()); ++id) {
      const Distribution& distribution = sampled->distribution;
      if (distribution.cut.keeps(distribution.score(id), id)) ids.push_back(id);
    }
    return ids;
  }
};

struct RandomCase {
  std::vector<float> logits;
  SamplingParams params;
  std::vector<int32_t> prompt;
  std::vector<int32_t> output;
  std::vector<bool> allowed;
  std::vector<uint32_t> allowed_bits;
};

RandomCase random_case(uint32_t seed) {
  std::mt19937 random(seed);
  const auto one_of = [&](auto... values) {
    const std::vector<double> all = {static_cast<double>(values)...};
    return static_cast<float>(all[random() % all.size()]);
  };
  RandomCase c;
  const int size = static_cast<int>(one_of(1, 5, 64, 257, 1000, 5000));
  c.logits = random_logits(size, one_of(0.01, 1, 4, 20), seed);
  if (random() % 4 == 0) {
    for (float& logit : c.logits) logit = std::round(logit);
  }
  c.params.temperature = one_of(0, 1, 1, 0.3, 0.7, 2, 100);
  c.params.top_k = static_cast<int32_t>(one_of(0, 0, -1, 1, 2, 40, 4000));
  c.params.top_p = one_of(1, 1, 0.95, 0.5, 0.01, 1e-9);
  c.params.min_p = one_of(0, 0, 0, 0.02, 0.5);
  c.params.repetition_penalty = one_of(1, 1, 1.3, 0.5);
  c.params.frequency_penalty = one_of(0, 0, 0.5, -1);
  c.params.presence_penalty = one_of(0, 0, 1.5);
  const auto any_token = [&] { return static_cast<int32_t>(random() % size); };
  for (uint32_t i = random() % 4; i > 0; --i) {
    c.params.logit_bias.push_back({any_token(), one_of(-100, -1, 2.5, 3)});
  }
  for (int i = 0; i < 20; ++i) {
    c.prompt.push_back(any_token());
    c.output.push_back(any_token());
  }
  if (random() % 3 == 0) {
    c.allowed.resize(size);
    c.allowed_bits.resize((size + 31) / 32);
    for (int id = 0; id < size; ++id) {
      c.allowed[id] = random() % 4 == 0 || id == size / 2;
      if (c.allowed[id]) c.allowed_bits[id / 32] |= 1u << (id % 32);
    }
  }
  return c;
}

TEST_P(SamplerTest, AgreesWithTheDefinitionOnRandomRequests) {
  for (uint32_t seed = 0; seed < 1500; ++seed) {
    const RandomCase c = random_case(seed);
    const auto size = static_cast<int>(c.logits.size());
    PenaltyState penalties(size, /*max_tokens=*/64);
    penalties.reset(c.prompt);
    for (int32_t token_id : c.output) penalties.push(token_id);
    const SamplePoint point = {c.params, &penalties, c.allowed_bits, at(seed)};
    const int32_t expected = reference_sample(
        reference_processed(c.logits, c.params, c.prompt, c.output, c.allowed), c.params, at(seed));
    ASSERT_EQ(token(c.logits, point), expected) << "seed " << seed << " of " << size << " tokens";
  }
}

TEST_P(SamplerTest, EveryIsaKeepsAndChoosesTheSameTokens) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    RandomCase c = random_case(seed);
    c.params.temperature = 0.8f;
    const auto size = static_cast<int>(c.logits.size());
    PenaltyState penalties(size, /*max_tokens=*/64);
    SamplerWorkspace workspace(size, GetParam());
    SamplerWorkspace generic(size, Isa::kGeneric);
    const SamplePoint point = {c.params, &penalties, c.allowed_bits, at(seed)};
    const Sampled a = *sample(c.logits, point, workspace);
    const Sampled b = *sample(c.logits, point, generic);
    ASSERT_EQ(a.token_id, b.token_id);
    ASSERT_EQ(a.distribution.cut.score, b.distribution.cut.score);
    ASSERT_EQ(a.distribution.cut.last_id, b.distribution.cut.last_id);
    ASSERT_EQ(a.distribution.max_score, b.distribution.max_score);
  }
}

// A workspace used for other requests, and the caller's logits, stay out of the result.
TEST_P(SamplerTest, NothingButItsArgumentsMatters) {
  SamplerWorkspace used(/*vocab_size=*/1000, GetParam());
  const auto run = [&](uint32_t seed) {
    RandomCase c = random_case(seed);
    c.logits = random_logits(1000, 3.0f, seed);
    c.params.logit_bias.clear();
    PenaltyState penalties(/*vocab_size=*/1000, /*max_tokens=*/8);
    penalties.reset(std::vector<int32_t>{1, 2, 3});
    const std::vector<float> before = c.logits;
    const int32_t id = sample(c.logits, {c.params, &penalties, {}, at(seed)}, used)->token_id;
    EXPECT_EQ(c.logits, before);
    return id;
  };
  std::vector<int32_t> forward(100);
  for (uint32_t seed = 0; seed < 100; ++seed) forward[seed] = run(seed);
  for (uint32_t seed = 100; seed-- > 0;) ASSERT_EQ(run(seed), forward[seed]);
}

// Pearson's statistic of draws over many positions against the kept tokens' softmax.
double chi_square(const std::vector<int>& counts, const std::vector<double>& probabilities,
                  int num_draws) {
  double sum = 0.0;
  for (size_t id = 0; id < counts.size(); ++id) {
    const double expected = probabilities[id] * num_draws;
    if (expected == 0.0) {
      EXPECT_EQ(counts[id], 0) << "a filtered token was drawn: " << id;
      continue;
    }
    sum += (counts[id] - expected) * (counts[id] - expected) / expected;
  }
  return sum;
}

TEST_P(SamplerTest, DrawsFollowTheSoftmaxOfWhatIsKept) {
  constexpr int kVocabSize = 40;
  constexpr int kNumDraws = 40000;
  const std::vector<float> logits = random_logits(kVocabSize, 1.0f, /*seed=*/3);
  const auto filtered = [](float temperature, int top_k, float top_p, float min_p) {
    SamplingParams params;
    params.temperature = temperature;
    params.top_k = top_k;
    params.top_p = top_p;
    params.min_p = min_p;
    return params;
  };
  for (const SamplingParams& params :
       {filtered(1.0f, 0, 1.0f, 0.0f), filtered(0.7f, 0, 1.0f, 0.0f),
        filtered(1.5f, 10, 1.0f, 0.0f), filtered(1.0f, 0, 0.8f, 0.0f),
        filtered(1.0f, 0, 1.0f, 0.1f), filtered(0.9f, 20, 0.9f, 0.05f)}) {
    const std::vector<float> scores = reference_scores(logits, params);
    std::vector<double> probabilities(kVocabSize, 0.0);
    const std::vector<int32_t> ids = reference_kept(scores, params);
    double total = 0.0;
    for (int32_t id : ids) total += std::exp(static_cast<double>(scores[id]));
    for (int32_t id : ids) probabilities[id] = std::exp(static_cast<double>(scores[id])) / total;

    SamplerWorkspace workspace(kVocabSize, GetParam());
    std::vector<int> counts(kVocabSize, 0);
    for (uint32_t position = 0; position < kNumDraws; ++position) {
      ++counts[sample(logits, {params, nullptr, {}, at(position)}, workspace)->token_id];
    }
    const double freedom = static_cast<double>(ids.size()) - 1;
    EXPECT_LT(chi_square(counts, probabilities, kNumDraws), freedom + 4 * std::sqrt(2 * freedom));
  }
}

// Two choices, seeds or positions agree as often as independent draws do.
TEST_P(SamplerTest, ChoicesSeedsAndPositionsAreIndependent) {
  constexpr int kNumDraws = 20000;
  const std::vector<float> logits = {0.0f, 0.0f, 0.0f, 0.0f};
  const SamplingParams params;
  SamplerWorkspace workspace(/*vocab_size=*/4, GetParam());
  const auto draw = [&](NoiseKey key) {
    return sample(logits, {params, nullptr, {}, key}, workspace)->token_id;
  };
  int by_choice = 0;
  int by_seed = 0;
  int by_position = 0;
  for (uint32_t position = 0; position < kNumDraws; ++position) {
    const int32_t id = draw({5, 0, position});
    by_choice += id == draw({5, 1, position}) ? 1 : 0;
    by_seed += id == draw({6, 0, position}) ? 1 : 0;
    by_position += id == draw({5, 0, position + 1}) ? 1 : 0;
  }
  for (int agreed : {by_choice, by_seed, by_position}) {
    EXPECT_NEAR(agreed, kNumDraws * 0.25, 250);  // 4 standard deviations
  }
}

// A token that wins without a filter wins with every filter that keeps it.
TEST_P(SamplerTest, FiltersDoNotMoveTheNoise) {
  const std::vector<float> logits = random_logits(2000, 2.0f, /*seed=*/4);
  SamplingParams params;
  int num_kept = 0;
  for (uint32_t position = 0; position < 300; ++position) {
    const int32_t free_choice = token(logits, {SamplingParams{}, nullptr, {}, at(position)});
    params.top_k = 200;
    const std::vector<int32_t> ids = kept(logits, params);
    if (!std::binary_search(ids.begin(), ids.end(), free_choice)) continue;
    ++num_kept;
    ASSERT_EQ(token(logits, {params, nullptr, {}, at(position)}), free_choice);
  }
  EXPECT_GT(num_kept, 100);
}

TEST_P(SamplerTest, TemperatureBelowTheThresholdIsGreedy) {
  // 1e-5 apart: at T = 1e-5 the scores are 1 apart and the second token wins now and then.
  const std::vector<float> logits = {0.0f, 1e-5f, -1.0f};
  SamplingParams params;
  const auto num_second_best = [&](float temperature) {
    params.temperature = temperature;
    int count = 0;
    for (uint32_t position = 0; position < 200; ++position) {
      count += token(logits, {params, nullptr, {}, at(position)}) == 0 ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(num_second_best(0.0f), 0);
  EXPECT_EQ(num_second_best(std::nextafter(1e-5f, 0.0f)), 0);
  EXPECT_NEAR(num_second_best(1e-5f), 200 * 0.269, 25);
}

TEST_P(SamplerTest, EqualLogitsGoToTheLowestId) {
  SamplingParams greedy;
  greedy.temperature = 0.0f;
  std::vector<float> logits(1000, 1.0f);
  EXPECT_EQ(token(logits, {greedy}), 0);
  logits[0] = 0.0f;
  EXPECT_EQ(token(logits, {greedy}), 1);
  logits[999] = logits[700] = logits[300] = 2.0f;
  EXPECT_EQ(token(logits, {greedy}), 300);
}

TEST_P(SamplerTest, TopKKeepsTheLowestIdsAtTheBoundary) {
  const std::vector<float> logits = {1, 2, 3, 2, 2, 3, 1};
  SamplingParams params;
  params.top_k = 1;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{2}));
  params.top_k = 2;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{2, 5}));
  params.top_k = 4;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{1, 2, 3, 5}));
  params.top_k = 6;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  params.top_k = 7;
  EXPECT_EQ(kept(logits, params).size(), 7u);
}

TEST_P(SamplerTest, TopPKeepsTheShortestPrefixWithEnoughMass) {
  const std::vector<float> even(8, 0.25f);
  SamplingParams params;
  params.top_p = 0.5f;  // exactly half of 8 equal tokens
  EXPECT_EQ(kept(even, params), (std::vector<int32_t>{0, 1, 2, 3}));
  params.top_p = 0.501f;
  EXPECT_EQ(kept(even, params), (std::vector<int32_t>{0, 1, 2, 3, 4}));
  params.top_p = 1e-30f;
  EXPECT_EQ(kept(even, params), (std::vector<int32_t>{0}));

  // Probabilities 0.1, 0.4, 0.2, 0.2, 0.1.
  std::vector<float> logits;
  for (float p : {0.1f, 0.4f, 0.2f, 0.2f, 0.1f}) logits.push_back(std::log(p));
  params.top_p = 0.39f;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{1}));
  params.top_p = 0.59f;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{1, 2}));
  params.top_p = 0.79f;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{1, 2, 3}));
  params.top_p = 0.89f;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{0, 1, 2, 3}));
}

TEST_P(SamplerTest, MinPIsRelativeToTheMostProbable) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.5f), std::log(0.2f)};
  SamplingParams params;
  params.min_p = 0.3f;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{1, 2}));
  params.min_p = 0.19f;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{0, 1, 2}));
  params.min_p = 1.0f;
  EXPECT_EQ(kept(logits, params), (std::vector<int32_t>{1}));
  params.min_p = 1e-45f;
  EXPECT_EQ(kept(logits, params).size(), 3u);
}

// Each pair of processors, in a case where the other order would choose otherwise.
TEST_P(SamplerTest, ProcessorsRunInTheirOrder) {
  SamplingParams greedy;
  greedy.temperature = 0.0f;
  PenaltyState seen(/*vocab_size=*/3, /*max_tokens=*/4);
  seen.reset(std::vector<int32_t>{0});

  // Bias before penalties: (-3 + 4) / 2 = 0.5 > 0; the other way, -3 * 2 + 4 = -2.
  SamplingParams bias_first = greedy;
  bias_first.logit_bias = {{0, 4.0f}};
  bias_first.repetition_penalty = 2.0f;
  EXPECT_EQ(token({-3.0f, 0.0f, -9.0f}, {bias_first, &seen}), 0);

  // Bias before grammar: a forbidden token cannot be biased back in.
  SamplingParams biased = greedy;
  biased.logit_bias = {{0, 100.0f}};
  const std::vector<uint32_t> allowed = {0b110};
  EXPECT_EQ(token({1.0f, 0.0f, 0.5f}, {biased, nullptr, allowed}), 2);

  // Penalties before top-k: 4 / 4 falls behind 2, so top-1 keeps token 1.
  SamplingParams penalized;
  penalized.repetition_penalty = 4.0f;
  penalized.top_k = 1;
  EXPECT_EQ(token({4.0f, 2.0f, 0.0f}, {penalized, &seen}), 1);

  // Grammar before top-k: the one kept token is an allowed one.
  SamplingParams top_one;
  top_one.top_k = 1;
  EXPECT_EQ(token({5.0f, 1.0f, 2.0f}, {top_one, nullptr, allowed}), 2);

  // Temperature before top-p: p is 0.88 at T = 1 and 0.73 at T = 2, so a second token is kept.
  SamplingParams warm;
  warm.top_p = 0.8f;
  EXPECT_EQ(kept({2.0f, 0.0f}, warm).size(), 1u);
  warm.temperature = 2.0f;
  EXPECT_EQ(kept({2.0f, 0.0f}, warm).size(), 2u);

  // Top-k before top-p: of 10 equal tokens top-k leaves 4, of which 0.5 is 2, not min(4, 5).
  SamplingParams both;
  both.top_k = 4;
  both.top_p = 0.5f;
  EXPECT_EQ(kept(std::vector<float>(10, 1.0f), both).size(), 2u);

  // Top-p before min-p: 0.4 of the whole is token 0 alone; of what min-p would leave it is too
  // little (0.4 of 10 equal tokens is 4), so min-p cannot have come first.
  SamplingParams last;
  last.top_p = 0.6f;
  last.min_p = 0.5f;
  const std::vector<float> logits = {std::log(4.0f), std::log(3.0f), std::log(1.0f), std::log(1.0f),
                                     std::log(1.0f)};
  EXPECT_EQ(kept(logits, last), (std::vector<int32_t>{0, 1}));
}

TEST_P(SamplerTest, BadLogitsAreAnErrorThatNamesTheToken) {
  const SamplingParams params;
  std::vector<float> logits = random_logits(300, 1.0f, /*seed=*/5);
  logits[257] = std::nanf("");
  EXPECT_EQ(error(logits, {params}),
            "the model's logit of token 257 is NaN; a logit must be a number");
  logits[257] = kInfinity;
  EXPECT_EQ(error(logits, {params}),
            "the model's logit of token 257 is +infinity; a logit must be a number");
  const std::vector<uint32_t> allowed(10, 1);  // the bad token is not among the allowed ones
  EXPECT_NE(error(logits, {params, nullptr, allowed}), "");
  logits[257] = -kInfinity;
  EXPECT_NE(token(logits, {params}), 257);

  SamplingParams cold;
  cold.temperature = 2e-5f;
  EXPECT_NE(error({1e38f, 0.0f}, {cold}).find("overflows"), std::string::npos);
  SamplingParams strong;
  strong.repetition_penalty = 0.01f;
  PenaltyState seen(/*vocab_size=*/2, /*max_tokens=*/2);
  seen.reset(std::vector<int32_t>{0});
  EXPECT_NE(error({3e38f, 0.0f}, {strong, &seen}).find("overflows"), std::string::npos);
}

TEST_P(SamplerTest, NothingToChooseIsAnError) {
  const std::vector<uint32_t> none = {0};
  for (float temperature : {0.0f, 1.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    EXPECT_NE(error({1.0f, 2.0f}, {params, nullptr, none}).find("no token"), std::string::npos);
    EXPECT_NE(error({-kInfinity, -kInfinity}, {params}).find("no token"), std::string::npos);
  }
}

TEST_P(SamplerTest, RangesTogetherGiveTheWholePass) {
  std::mt19937 random(6);
  for (int size : {1, 256, 300, 5000, 49152}) {
    SamplerWorkspace workspace(size, GetParam());
    for (uint32_t seed = 0; seed < 40; ++seed) {
      std::vector<float> logits = random_logits(size, 2.0f, seed);
      if (seed % 4 == 0) {
        for (float& logit : logits) logit = std::round(logit);
      }
      if (seed % 5 == 0) std::fill_n(logits.begin(), std::min(size - 1, 700), -kInfinity);
      SamplingParams params;
      params.temperature = seed % 2 == 0 ? 1.0f : 0.0f;
      const SamplePoint point = {params, nullptr, {}, at(seed)};
      ASSERT_TRUE(divisible(point, size));
      RangeBest best = {{-kInfinity, -1}, true};
      for (int begin = 0; begin < size;) {
        const int step = kVocabBlock * (1 + static_cast<int>(random() % 40));
        const int end = std::min(size, begin + step);
        const RangeBest range = best_in_range(logits, point, begin, end, workspace);
        best = seed % 3 == 0 ? better_of(range, best) : better_of(best, range);
        begin = end;
      }
      ASSERT_EQ(*token_of(best, logits), token(logits, point)) << size << " " << seed;
    }
  }
}

TEST_P(SamplerTest, OneBadRangeSpoilsTheRow) {
  std::vector<float> logits(1000, 0.0f);
  logits[900] = std::nanf("");
  SamplerWorkspace workspace(/*vocab_size=*/1000, GetParam());
  const SamplingParams params;
  const RangeBest first = best_in_range(logits, {params}, 0, 512, workspace);
  const RangeBest second = best_in_range(logits, {params}, 512, 1000, workspace);
  EXPECT_TRUE(token_of(first, logits).ok());
  EXPECT_FALSE(token_of(better_of(first, second), logits).ok());
  EXPECT_FALSE(token_of(better_of(second, first), logits).ok());
}

// A team larger than the vocabulary has blocks leaves members without any.
TEST_P(SamplerTest, EmptyRangesChangeNothing) {
  const std::vector<float> logits = random_logits(300, 1.0f, /*seed=*/8);
  SamplerWorkspace workspace(/*vocab_size=*/300, GetParam());
  const SamplingParams params;
  const SamplePoint point = {params, nullptr, {}, at(3)};
  RangeBest best = best_in_range(logits, point, 300, 300, workspace);
  EXPECT_FALSE(token_of(best, logits).ok());
  for (int begin : {0, 256, 300}) {
    best =
        better_of(best, best_in_range(logits, point, begin, std::min(300, begin + 256), workspace));
  }
  EXPECT_EQ(*token_of(best, logits), token(logits, point));
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, SamplerTest, ::testing::ValuesIn(available_isas()),
                         [](const auto& test) { return std::string(isa_name(test.param)); });

}  // namespace
}  // namespace forerun
