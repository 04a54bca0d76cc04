#include "sampling/sampling_defaults.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

Result<SamplingDefaults> read(const char* config) {
  return read_sampling_defaults(*parse_json(config));
}

std::string error_of(const char* config) {
  const Result<SamplingDefaults> defaults = read(config);
  return defaults.ok() ? "no error" : defaults.error().message;
}

TEST(SamplingDefaults, AreWhatTheConfigSays) {
  const Result<SamplingDefaults> all = read(
      R"({"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0.05,
          "repetition_penalty":1.05,"eos_token_id":[1,2]})");
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_EQ(all->temperature, 0.6f);
  EXPECT_EQ(all->top_k, 20);
  EXPECT_EQ(all->top_p, 0.95f);
  EXPECT_EQ(all->min_p, 0.05f);
  EXPECT_EQ(all->repetition_penalty, 1.05f);
  const Result<SamplingDefaults> none = read(R"({"eos_token_id":2,"temperature":null})");
  ASSERT_TRUE(none.ok()) << none.error().message;
  EXPECT_EQ(none->temperature, std::nullopt);
  EXPECT_EQ(none->top_k, std::nullopt);
  EXPECT_EQ(none->top_p, std::nullopt);
  EXPECT_EQ(none->min_p, std::nullopt);
  EXPECT_EQ(none->repetition_penalty, std::nullopt);
}

TEST(SamplingDefaults, DoSampleDecidesWhetherThereIsATemperature) {
  EXPECT_EQ(read(R"({"do_sample":false,"temperature":0.6})")->temperature, 0.0f);
  EXPECT_EQ(read(R"({"do_sample":true})")->temperature, 1.0f);
  EXPECT_EQ(read(R"({"temperature":0.6})")->temperature, 0.6f);
}

TEST(SamplingDefaults, NamesTheValueAndTheLimit) {
  EXPECT_EQ(error_of(R"({"temperature":-0.1})"),
            "'temperature' is -0.1; a number from 0.0 to 100.0 is expected");
  EXPECT_EQ(error_of(R"({"top_k":1e10})"),
            "'top_k' is 10000000000.0; a number from -1.0 to 2147483647.0 is expected");
  EXPECT_EQ(error_of(R"({"top_p":"high"})"),
            "'top_p' is \"high\"; a number from 1e-06 to 1.0 is expected");
  EXPECT_EQ(error_of(R"({"min_p":1.5})"), "'min_p' is 1.5; a number from 0.0 to 1.0 is expected");
  EXPECT_NE(error_of(R"({"repetition_penalty":0})"), "no error");
  EXPECT_EQ(error_of(R"({"do_sample":1})"), "'do_sample' is neither true nor false");
}

}  // namespace
}  // namespace forerun
