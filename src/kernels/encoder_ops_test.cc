#include "kernels/encoder_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/test_cases.h"

namespace forerun {
namespace {

class EncoderOperations : public testing::TestWithParam<Isa> {
 protected:
  const EncoderOps& ops() const { return encoder_ops(GetParam()); }
};

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

TEST_P(EncoderOperations, LayerNormIsItsDefinition) {
  Random random(1);
  for (const int64_t size : {16, 48, 384, 1024}) {
    const std::vector<float> x = random.floats(size, -3.0f, 5.0f);
    const std::vector<float> weight = random.floats(size, 0.5f, 1.5f);
    const std::vector<float> bias = random.floats(size, -1.0f, 1.0f);
    std::vector<float> out(size);
    ops().layer_norm(x.data(), weight.data(), bias.data(), 1e-12f, size, out.data());
    const double mean = mean_of({x.begin(), x.end()});
    std::vector<double> squares;
    for (const float value : x) squares.push_back((value - mean) * (value - mean));
    const double deviation = std::sqrt(mean_of(squares) + 1e-12);
    for (int64_t i = 0; i < size; ++i) {
      EXPECT_NEAR(out[i], (x[i] - mean) / deviation * weight[i] + bias[i], 2e-6) << size;
    }
    std::vector<float> generic(size);
    encoder_ops(Isa::kGeneric)
        .layer_norm(x.data(), weight.data(), bias.data(), 1e-12f, size, generic.data());
    EXPECT_TRUE(same_bits(out.data(), generic.data(), size));
  }
}

TEST_P(EncoderOperations, GeluIsItsDefinition) {
  std::vector<float> x;
  for (int i = -1600; i < 1600; ++i) x.push_back(static_cast<float>(i) / 128.0f);
  for (const float extreme : {-1e30f, 1e30f, -100.0f, 100.0f, -0.0f, 1e-30f, -1e-30f, 0.0f}) {
    x.push_back(extreme);
    x.push_back(std::numeric_limits<float>::quiet_NaN());
  }
  const auto size = static_cast<int64_t>(x.size());
  ASSERT_EQ(size % 16, 0);
  std::vector<float> out = x;
  ops().gelu_erf(size, out.data());
  for (int64_t i = 0; i < size; ++i) {
    if (std::isnan(x[i])) {
      EXPECT_TRUE(std::isnan(out[i]));
      continue;
    }
    const double exact = x[i] / 2.0 * std::erfc(-x[i] / std::sqrt(2.0));
    EXPECT_NEAR(out[i], exact, 3e-7 * std::fmax(1.0, std::fabs(x[i]))) << "of " << x[i];
  }
  std::vector<float> generic = x;
  encoder_ops(Isa::kGeneric).gelu_erf(size, generic.data());
  EXPECT_TRUE(same_bits(out.data(), generic.data(), size));
}

TEST_P(EncoderOperations, SoftmaxIsItsDefinitionAtAnySize) {
  Random random(2);
  const float factor = 0.176776695f;
  for (int64_t size = 1; size <= 70; ++size) {
    const int64_t padded = (size + 15) / 16 * 16;
    std::vector<float> x = random.floats(size, -40.0f, 40.0f);
    std::vector<double> expected;
    const float largest = *std::max_element(x.begin(), x.end());
    for (const float value : x) expected.push_back(std::exp(factor * (value - largest)));
    const double sum = std::accumulate(expected.begin(), expected.end(), 0.0);
    // What stands in the room behind is nobody's.
    x.resize(padded, std::numeric_limits<float>::quiet_NaN());
    std::vector<float> generic = x;
    ops().softmax(factor, size, x.data());
    for (int64_t i = 0; i < size; ++i) EXPECT_NEAR(x[i], expected[i] / sum, 1e-6) << size;
    for (int64_t i = size; i < padded; ++i) EXPECT_EQ(x[i], 0.0f) << size;
    encoder_ops(Isa::kGeneric).softmax(factor, size, generic.data());
    EXPECT_TRUE(same_bits(x.data(), generic.data(), padded));
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, EncoderOperations, testing::ValuesIn(available_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

}  // namespace
}  // namespace forerun
