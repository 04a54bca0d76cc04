#include "adam.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace forerun {
namespace {

class AdamTest : public testing::Test {
 protected:
  // What `adam` adds to the parameter, whose gradient is `gradient`.
  at::Tensor update(Adam& adam, const at::Tensor& gradient) {
    const at::Tensor before = parameter.detach().clone();
    parameter.mutable_grad() = gradient;
    is_done = adam.step();
    return parameter.detach() - before;
  }

  at::Tensor parameter = at::ones({2}).set_requires_grad(true);
  bool is_done = false;
};

TEST_F(AdamTest, WarmsUp) {
  Adam adam({parameter}, {.learning_rate = 0.1, .warmup_steps = 3, .largest_norm = 100.0});
  // Of equal gradients an update is the rate, whatever their size.
  for (const double rate : {0.025, 0.05, 0.075, 0.1, 0.1}) {
    const at::Tensor added = update(adam, at::tensor({2.0f, -0.5f}));
    EXPECT_TRUE(added.allclose(at::tensor({-rate, rate}).to(at::kFloat), 1e-4)) << added;
    EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST_F(AdamTest, ScalesLongGradientsDown) {
  Adam adam({parameter}, {.largest_norm = 0.5});
  update(adam, at::tensor({3.0f, 4.0f}));
  EXPECT_TRUE(adam.first_moments[0].allclose(at::tensor({0.03f, 0.04f})));
  update(adam, at::tensor({0.0f, 0.1f}));
  EXPECT_TRUE(adam.first_moments[0].allclose(at::tensor({0.027f, 0.046f})));
}

// Large parameters are updated piece by piece.
TEST_F(AdamTest, UpdatesEveryElement) {
  parameter = at::ones({300, 211}).set_requires_grad(true);
  Adam adam({parameter}, {.learning_rate = 0.1, .warmup_steps = 0, .largest_norm = 1e9});
  for (int i = 0; i < 3; ++i) {
    const at::Tensor gradient = at::arange(1, 1 + parameter.numel()).view({300, 211});
    const at::Tensor added = update(adam, gradient.to(at::kFloat));
    EXPECT_TRUE(added.allclose(at::full_like(added, -0.1), 1e-4, 1e-6)) << added.min();
  }
}

// Against the sum that polynomial-decay averaging unrolls to.
TEST_F(AdamTest, AveragesParameters) {
  constexpr int64_t kMost = 50;
  Adam adam(
      {parameter},
      {.learning_rate = 0.1, .warmup_steps = 0, .largest_norm = 100.0, .averaged_steps = kMost});
  EXPECT_TRUE(adam.averages[0].equal(parameter.detach()));
  std::vector<double> values;
  for (int step = 1; step <= 6 * kMost; ++step) {
    update(adam, at::tensor({1.0f, -1.0f}));
    values.push_back(parameter[0].item<double>());
    double average = 0.0;
    double weight = 1.0;
    for (int i = step; i >= 1; --i) {
      const double newest = i > 4 * kMost - 3 ? 1.0 / kMost : std::min(1.0, 4.0 / (i + 3.0));
      average += weight * newest * values[static_cast<size_t>(i - 1)];
      weight *= 1.0 - newest;
    }
    ASSERT_NEAR(adam.averages[0][0].item<double>(), average, 1e-4) << step;
    ASSERT_NEAR(adam.averages[0][1].item<double>(), 2.0 - average, 1e-4) << step;
  }
  // Steady updates of 0.1: the average is as many steps behind.
  const double behind = (adam.averages[0][0].item<double>() - values.back()) / 0.1;
  EXPECT_NEAR(behind, kMost - 1, 3.0);
}

TEST_F(AdamTest, AveragesOneStep) {
  Adam adam({parameter}, {.learning_rate = 0.1, .averaged_steps = 1});
  for (int i = 0; i < 20; ++i) {
    update(adam, at::tensor({1.0f, -1.0f}));
    EXPECT_TRUE(adam.averages[0].equal(parameter.detach()));
  }
}

TEST_F(AdamTest, ChangesNothingWhereGradientsAreNotFinite) {
  Adam adam({parameter}, {});
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const at::Tensor added = update(adam, at::tensor({1.0f, value}));
    EXPECT_FALSE(is_done);
    EXPECT_TRUE(added.equal(at::zeros({2})));
    EXPECT_EQ(adam.num_steps, 0);
    EXPECT_TRUE(adam.second_moments[0].equal(at::zeros({2})));
    EXPECT_TRUE(adam.averages[0].equal(at::ones({2})));
    EXPECT_FALSE(parameter.grad().defined());
  }
}

}  // namespace
}  // namespace forerun
