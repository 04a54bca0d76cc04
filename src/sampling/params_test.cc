#include "sampling/params.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace forerun {
namespace {

constexpr int kVocabSize = 1000;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(SamplingParams, DefaultsAndTheEndsOfEveryRangeAreValid) {
  EXPECT_TRUE(validate({}, kVocabSize).ok());
  SamplingParams low;
  low.temperature = 0.0f;
  low.top_k = -1;
  low.top_p = std::numeric_limits<float>::denorm_min();
  low.repetition_penalty = kMinRepetitionPenalty;
  low.frequency_penalty = -2.0f;
  low.presence_penalty = -2.0f;
  low.logit_bias = {{0, -100.0f}};
  EXPECT_TRUE(validate(low, kVocabSize).ok());
  SamplingParams high;
  high.temperature = kMaxTemperature;
  high.top_k = std::numeric_limits<int32_t>::max();
  high.min_p = 1.0f;
  high.repetition_penalty = kMaxRepetitionPenalty;
  high.frequency_penalty = 2.0f;
  high.presence_penalty = 2.0f;
  high.logit_bias = {{kVocabSize - 1, 100.0f}};
  high.seed = std::numeric_limits<uint64_t>::max();
  high.top_logprobs = kMaxTopLogprobs;
  EXPECT_TRUE(validate(high, kVocabSize).ok());
}

TEST(SamplingParams, EveryBadFloatIsAnErrorThatNamesFieldAndLimit) {
  struct Field {
    const char* name;
    const char* limit;
    std::function<void(SamplingParams&, float)> set;
    std::vector<float> bad;
  };
  const std::vector<Field> fields = {
      {"temperature", "from 0 to 100", [](auto& p, float v) { p.temperature = v; }, {-1e-9f, 101}},
      {"top_p", "above 0 and at most 1", [](auto& p, float v) { p.top_p = v; }, {0, -0.5f, 1.01f}},
      {"min_p", "from 0 to 1", [](auto& p, float v) { p.min_p = v; }, {-0.1f, 1.5f}},
      {"repetition_penalty",
       "from 0.01 to 100",
       [](auto& p, float v) { p.repetition_penalty = v; },
       {0, -1, 101}},
      {"frequency_penalty",
       "from -2 to 2",
       [](auto& p, float v) { p.frequency_penalty = v; },
       {-2.1f, 2.1f}},
      {"presence_penalty",
       "from -2 to 2",
       [](auto& p, float v) { p.presence_penalty = v; },
       {-2.1f, 2.1f}},
      {"logit_bias of token 7",
       "from -100 to 100",
       [](auto& p, float v) { p.logit_bias = {{7, v}}; },
       {-101, 101}},
  };
  for (const Field& field : fields) {
    std::vector<float> bad = field.bad;
    bad.insert(bad.end(), {kNan, kInfinity, -kInfinity, 3e38f, -3e38f});
    for (float value : bad) {
      SamplingParams params;
      field.set(params, value);
      const Status status = validate(params, kVocabSize);
      ASSERT_FALSE(status.ok()) << field.name << " " << value;
      EXPECT_TRUE(status.error().message.starts_with(field.name)) << status.error().message;
      EXPECT_NE(status.error().message.find(field.limit), std::string::npos)
          << status.error().message;
    }
  }
}

TEST(SamplingParams, IntegersOutsideTheirRangeAreErrors) {
  SamplingParams params;
  params.top_k = -2;
  EXPECT_EQ(validate(params, kVocabSize).error().message,
            "top_k is -2; it must be at least -1 (0 and -1: off)");
  params = {};
  params.top_logprobs = 21;
  EXPECT_EQ(validate(params, kVocabSize).error().message,
            "top_logprobs is 21; it must be from 0 to 20");
  for (int32_t id : {-1, kVocabSize, std::numeric_limits<int32_t>::max()}) {
    params = {};
    params.logit_bias = {{3, 1.0f}, {id, 1.0f}};
    EXPECT_EQ(validate(params, kVocabSize).error().message,
              "logit_bias token id is " + std::to_string(id) + "; it must be from 0 to 999");
  }
}

TEST(SamplingParams, DrawnSeedsDifferAndSurviveADouble) {
  const uint64_t a = draw_seed();
  EXPECT_NE(a, draw_seed());
  EXPECT_LT(a, uint64_t{1} << 53);
}

TEST(SamplingParams, LimitsTheNumberOfBiases) {
  SamplingParams params;
  params.logit_bias.assign(kVocabSize, {1, 0.5f});
  EXPECT_TRUE(validate(params, kVocabSize).ok());
  params.logit_bias.push_back({1, 0.5f});
  const Status status = validate(params, kVocabSize);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message,
            "logit_bias's number of entries is 1001; it must be at most 1000");
}

}  // namespace
}  // namespace forerun
