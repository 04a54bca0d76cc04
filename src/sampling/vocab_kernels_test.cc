#include "sampling/vocab_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "sampling/reference_sampler.h"

namespace forerun {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Logits of several shapes: spread, with many ties, flat, peaked, with absent tokens.
std::vector<float> some_logits(int count, int shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(count);
  for (float& logit : logits) {
    logit = normal(random);
    if (shape == 1) logit = std::round(logit);
    if (shape == 2) logit = 1.25f;
    if (shape == 3) logit *= 8.0f;
    if (shape == 4 && random() % 3 == 0) logit = -kInfinity;
    if (shape == 5) logit = logit * 0.001f - 20.0f;
  }
  if (shape == 4) logits[count / 2] = 0.5f;
  return logits;
}
constexpr int kNumShapes = 6;
constexpr int kSizes[] = {1, 7, 16, 63, 255, 256, 257, 1000, 4099, 49152};

class VocabKernelsTest : public ::testing::TestWithParam<Isa> {
 protected:
  const VocabKernels& kernels_ = vocab_kernels(GetParam());

  ScanResult scan(const std::vector<float>& logits) {
    cells_.assign(num_cells(static_cast<int>(logits.size())), NAN);
    return kernels_.scan(logits.data(), nullptr, nullptr, 0, static_cast<int>(logits.size()),
                         cells_.data());
  }
  ScoreView view(const std::vector<float>& logits, float scale) {
    return {logits.data(), cells_.data(), static_cast<int>(logits.size()), scale};
  }

  std::vector<float> cells_;
};

TEST_P(VocabKernelsTest, ScanFindsTheLowestIdOfTheHighestLogit) {
  for (int size : kSizes) {
    for (int shape = 0; shape < kNumShapes; ++shape) {
      const std::vector<float> logits = some_logits(size, shape, 1);
      const auto expected = std::max_element(logits.begin(), logits.end());
      const ScanResult result = scan(logits);
      ASSERT_TRUE(result.finite);
      ASSERT_EQ(result.max_logit, *expected);
      ASSERT_EQ(result.token_id, expected - logits.begin()) << size << " " << shape;
    }
  }
}

TEST_P(VocabKernelsTest, ScanWritesTheHighestLogitOfEveryCell) {
  const std::vector<float> logits = some_logits(1000, 0, 2);
  scan(logits);
  std::vector<float> expected(num_cells(1000), -kInfinity);
  for (int id = 0; id < 1000; ++id) {
    float& cell = expected[id / 256 * 16 + id % 16];
    cell = std::max(cell, logits[id]);
  }
  EXPECT_EQ(cells_, expected);
}

TEST_P(VocabKernelsTest, ScanSeesNanAndInfinityAtEveryPlaceUnderTheMaskToo) {
  const std::vector<uint32_t> none_allowed(9, 0);
  for (int place = 0; place < 270; ++place) {
    for (float bad : {std::nanf(""), -std::nanf(""), kInfinity}) {
      std::vector<float> logits = some_logits(270, 0, 3);
      logits[place] = bad;
      ASSERT_FALSE(scan(logits).finite) << place;
      ASSERT_FALSE(
          kernels_.scan(logits.data(), none_allowed.data(), logits.data(), 0, 270, cells_.data())
              .finite)
          << place;
    }
  }
  std::vector<float> logits(270, -kInfinity);
  EXPECT_TRUE(scan(logits).finite);
  EXPECT_EQ(scan(logits).token_id, -1);
}

TEST_P(VocabKernelsTest, MaskedScanKeepsAllowedTokensAlone) {
  for (int size : kSizes) {
    const std::vector<float> logits = some_logits(size, 0, 4);
    std::mt19937 random(5);
    std::vector<uint32_t> allowed((size + 31) / 32);
    for (uint32_t& word : allowed) word = random();
    std::vector<float> expected = logits;
    for (int id = 0; id < size; ++id) {
      if ((allowed[id / 32] >> (id % 32) & 1) == 0) expected[id] = -kInfinity;
    }
    std::vector<float> masked(size + 1, 77.0f);
    scan(logits);
    const ScanResult result =
        kernels_.scan(logits.data(), allowed.data(), masked.data(), 0, size, cells_.data());
    EXPECT_EQ(masked.back(), 77.0f) << "wrote past the end";
    masked.pop_back();
    EXPECT_EQ(masked, expected);
    EXPECT_EQ(result.max_logit, *std::max_element(expected.begin(), expected.end()));
  }
}

// Every token's noise, one at a time: each token alone is kept and wins with its own value.
TEST_P(VocabKernelsTest, NoiseIsTheDefinedOneForEveryToken) {
  const NoiseKey key = {/*seed=*/0xFEDCBA9876543210, /*choice_id=*/2, /*position=*/12345};
  const int size = 700;
  const std::vector<float> logits = some_logits(size, 0, 6);
  scan(logits);
  for (int id = 0; id < size; ++id) {
    const Candidate best =
        kernels_.best_with_noise(view(logits, 1.0f), key, Cut{kInfinity, -1, 0}, 0, size, id);
    ASSERT_EQ(best.token_id, id);
    ASSERT_EQ(best.value, logits[id] + gumbel_noise(key, id));
  }
}

TEST_P(VocabKernelsTest, BestWithNoiseIsTheArgmaxOverAllTokens) {
  for (int size : kSizes) {
    for (int shape = 0; shape < kNumShapes; ++shape) {
      for (float scale : {1.0f, 1.0f / 0.7f, 0.05f, 1000.0f}) {
        const std::vector<float> logits = some_logits(size, shape, 7);
        const ScanResult start = scan(logits);
        const NoiseKey key = {/*seed=*/99, /*choice_id=*/0, static_cast<uint32_t>(shape)};
        Candidate expected = {-kInfinity, -1};
        for (int id = 0; id < size; ++id) {
          const float value = logits[id] * scale + gumbel_noise(key, id);
          if (value > expected.value) expected = {value, id};
        }
        const Candidate best =
            kernels_.best_with_noise(view(logits, scale), key, Cut{}, 0, size, start.token_id);
        ASSERT_EQ(best.token_id, expected.token_id) << size << " " << shape << " " << scale;
        ASSERT_EQ(best.value, expected.value);
      }
    }
  }
}

TEST_P(VocabKernelsTest, GatherAndCollectFindEveryTokenInAscendingId) {
  for (int size : kSizes) {
    for (int shape = 0; shape < kNumShapes; ++shape) {
      const std::vector<float> logits = some_logits(size, shape, 8);
      scan(logits);
      const ScoreView scores = view(logits, 0.5f);
      const float lowest = shape == 2 ? 0.625f : 1.0f;
      std::vector<float> expected;
      std::vector<int32_t> ids;
      for (int id = 0; id < size; ++id) {
        if (logits[id] * 0.5f < lowest) continue;
        expected.push_back(logits[id] * 0.5f);
        if (logits[id] * 0.5f > lowest || id <= size / 2) ids.push_back(id);
      }
      std::vector<float> gathered(size + 16);
      gathered.resize(kernels_.gather(scores, lowest, gathered.data()));
      ASSERT_EQ(gathered, expected);

      std::vector<Candidate> tokens(size);
      tokens.resize(kernels_.collect(scores, Cut{lowest, size / 2, 0}, tokens.data(), size));
      ASSERT_EQ(tokens.size(), ids.size());
      for (size_t i = 0; i < ids.size(); ++i) {
        ASSERT_EQ(tokens[i].token_id, ids[i]);
        ASSERT_EQ(tokens[i].value, logits[ids[i]] * 0.5f);
      }
    }
  }
}

TEST_P(VocabKernelsTest, MassIsTheSumOfExpToFloatPrecision) {
  for (int size : kSizes) {
    for (int shape = 0; shape < kNumShapes; ++shape) {
      const std::vector<float> logits = some_logits(size, shape, 9);
      const float max = scan(logits).max_logit;
      for (float above : {-kInfinity, max - 3.0f}) {
        double expected = 0.0;
        for (float logit : logits) {
          if (logit > above) expected += std::exp(static_cast<double>(logit) - max);
        }
        const uint64_t mass = kernels_.mass(view(logits, 1.0f), max, above);
        ASSERT_NEAR(static_cast<double>(mass) / kMassOne, expected, 1e-6 * expected);
        ASSERT_EQ(mass, vocab_kernels(Isa::kGeneric).mass(view(logits, 1.0f), max, above));
      }
    }
  }
}

TEST_P(VocabKernelsTest, FindTieCountsEqualScoresInIdOrder) {
  const std::vector<float> logits = some_logits(4099, 1, 10);
  scan(logits);
  int64_t rank = 0;
  for (int id = 0; id < 4099; ++id) {
    if (logits[id] != 3.0f) continue;
    ASSERT_EQ(kernels_.find_tie(view(logits, 1.0f), 3.0f, rank), id);
    ++rank;
  }
  EXPECT_GT(rank, 100);
}

TEST_P(VocabKernelsTest, PrefixByCountEndsAtTheRankedScore) {
  for (int size : {1, 5, 16, 17, 300, 4099}) {
    for (int shape : {0, 1, 2, 3, 5}) {
      const std::vector<float> scores = some_logits(size, shape, 11);
      std::vector<float> sorted = scores;
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      for (int needed : {1, 2, size / 3, size - 1, size}) {
        if (needed < 1 || needed > size) continue;
        std::vector<float> scratch = scores;
        scratch.resize(size + 16);
        const PrefixEnd end = kernels_.prefix_by_count(scratch.data(), size, needed);
        ASSERT_EQ(end.score, sorted[needed - 1]);
        const auto above =
            std::count_if(scores.begin(), scores.end(), [&](float s) { return s > end.score; });
        ASSERT_EQ(end.num_ties, needed - above);
      }
    }
  }
}

TEST_P(VocabKernelsTest, PrefixEndsAreFoundAmongExtremeScores) {
  const float most = std::numeric_limits<float>::max();
  const float least = std::numeric_limits<float>::denorm_min();
  const std::vector<float> sorted = {most, most, 1.0f, least, 0.0f, -least, -1.0f, -most, -most};
  for (int needed = 1; needed <= 9; ++needed) {
    std::vector<float> scratch = sorted;
    std::reverse(scratch.begin(), scratch.end());
    scratch.resize(9 + 16);
    EXPECT_EQ(kernels_.prefix_by_count(scratch.data(), 9, needed).score, sorted[needed - 1]);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, VocabKernelsTest, ::testing::ValuesIn(available_isas()),
                         [](const auto& test) { return std::string(isa_name(test.param)); });

}  // namespace
}  // namespace forerun
