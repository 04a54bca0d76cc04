// Row operations on every instruction set: against double, and bit for bit against the generic
// form.
#include "kernels/row_ops.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numbers>

#include "kernels/test_cases.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

const RowOps& generic() {
  return kernel_table(Isa::kGeneric).rows;
}

class RowOperations : public testing::TestWithParam<Isa> {
 protected:
  const RowOps& ops() const { return kernel_table(GetParam()).rows; }
};

INSTANTIATE_TEST_SUITE_P(Isas, RowOperations, testing::ValuesIn(available_isas()), isa_test_name);

// The operations of a sum of squares over 64 lanes, and the handful after it, each err by 2^-24.
void expect_rms_norm(const std::vector<float>& x, const std::vector<float>& weight, double epsilon,
                     const std::vector<float>& out) {
  double sum = 0.0;
  for (const float value : x) sum += double{value} * value;
  const auto size = static_cast<double>(x.size());
  const double inverse = 1.0 / std::sqrt(sum / size + epsilon);
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = x[i] * inverse * weight[i];
    ASSERT_NEAR(out[i], expected, std::fabs(expected) * (size / 64 + 16) * 0x1p-24) << i;
  }
}

TEST_P(RowOperations, RmsNormDividesByTheRootOfTheMeanSquare) {
  Random random(1);
  for (const int64_t size : {16, 48, 64, 80, 112, 576, 640, 2048}) {
    for (const float magnitude : {1e-4f, 1.0f, 1e4f}) {
      const std::vector<float> x = random.floats(size, -magnitude, magnitude);
      const std::vector<float> weight = random.floats(size, -2.0f, 2.0f);
      std::vector<float> out(size);
      std::vector<float> expected(size);
      ops().rms_norm(x.data(), weight.data(), 1e-5f, size, out.data());
      expect_rms_norm(x, weight, 1e-5f, out);
      generic().rms_norm(x.data(), weight.data(), 1e-5f, size, expected.data());
      ASSERT_TRUE(same_bits(out.data(), expected.data(), size)) << size;

      std::vector<float> in_place = x;
      ops().rms_norm(in_place.data(), weight.data(), 1e-5f, size, in_place.data());
      ASSERT_TRUE(same_bits(in_place.data(), expected.data(), size)) << size;
    }
  }
}

TEST_P(RowOperations, RmsNormOfZerosIsZeroAndOfNaNIsNaN) {
  std::vector<float> x(64, 0.0f);
  const std::vector<float> weight(64, 1.0f);
  ops().rms_norm(x.data(), weight.data(), 1e-5f, 64, x.data());
  for (const float value : x) ASSERT_EQ(value, 0.0f);
  x[37] = kNaN;
  ops().rms_norm(x.data(), weight.data(), 1e-5f, 64, x.data());
  for (const float value : x) ASSERT_TRUE(std::isnan(value));
}

// A quantised row with a guard behind every array.
struct QuantizedRow {
  static constexpr int kGuard = 77;
  int64_t size;
  std::vector<int8_t> values;
  std::vector<float> scale;
  std::vector<int32_t> sum;
  std::vector<float> scaled_sum;
  std::vector<int16_t> half_sum;

  explicit QuantizedRow(int64_t row_size)
      : size(row_size),
        values(size + 32, kGuard),
        scale(size / 32 + 1, kGuard),
        sum(size / 32 + 1, kGuard),
        scaled_sum(size / 32 + 1, kGuard),
        half_sum(size / 16 + 1, static_cast<int16_t>(kGuard)) {}
  QuantizedRows view() {
    return {values.data(), scale.data(), sum.data(), scaled_sum.data(), half_sum.data(), size};
  }
};

QuantizedRow quantize(const RowOps& ops, const std::vector<float>& x) {
  QuantizedRow row(static_cast<int64_t>(x.size()));
  ops.quantize_row(x.data(), row.size, row.view());
  return row;
}

void expect_same(const QuantizedRow& actual, const QuantizedRow& expected) {
  ASSERT_EQ(actual.values, expected.values);
  ASSERT_EQ(actual.sum, expected.sum);
  ASSERT_EQ(actual.half_sum, expected.half_sum);
  const auto count = static_cast<int64_t>(actual.scale.size());
  ASSERT_TRUE(same_bits(actual.scale.data(), expected.scale.data(), count));
  ASSERT_TRUE(same_bits(actual.scaled_sum.data(), expected.scaled_sum.data(), count));
}

void expect_quantized_block(const QuantizedRow& row, const std::vector<float>& x, int64_t b) {
  float largest = 0.0f;
  int32_t half_sums[2] = {};
  for (int64_t i = b * 32; i < b * 32 + 32; ++i) {
    largest = std::max(largest, std::fabs(x[i]));
    half_sums[i % 32 / 16] += row.values[i];
  }
  const int32_t sum = half_sums[0] + half_sums[1];
  ASSERT_EQ(row.scale[b], largest / 127.0f);
  ASSERT_EQ(row.sum[b], sum);
  ASSERT_EQ(row.half_sum[2 * b], half_sums[0]);
  ASSERT_EQ(row.half_sum[2 * b + 1], half_sums[1]);
  ASSERT_EQ(row.scaled_sum[b], row.scale[b] * static_cast<float>(sum));
  for (int64_t i = b * 32; i < b * 32 + 32; ++i) {
    ASSERT_NEAR(row.values[i], 127.0 * x[i] / largest, 0.5001) << i;
    if (std::fabs(x[i]) == largest) {
      ASSERT_EQ(row.values[i], x[i] > 0 ? 127 : -127);
    }
  }
}

TEST_P(RowOperations, QuantizeRowRoundsEveryBlockToItsOwnScale) {
  Random random(2);
  for (const int64_t size : {32, 64, 96, 576, 1536}) {
    for (int round = 0; round < 20; ++round) {
      std::vector<float> x(size);
      for (int64_t b = 0; b < size / 32; ++b) {
        const float magnitude = std::ldexp(random.uniform(1.0f, 2.0f), random.integer(-100, 120));
        for (int i = 0; i < 32; ++i) x[b * 32 + i] = random.uniform(-magnitude, magnitude);
        x[b * 32 + random.integer(0, 31)] = magnitude;
        x[b * 32 + random.integer(0, 31)] = -magnitude;
      }
      const QuantizedRow row = quantize(ops(), x);
      for (int64_t b = 0; b < size / 32; ++b) expect_quantized_block(row, x, b);
      expect_same(row, quantize(generic(), x));
      ASSERT_EQ(row.values[size], QuantizedRow::kGuard);
      ASSERT_EQ(row.scale[size / 32], QuantizedRow::kGuard);
      ASSERT_EQ(row.sum[size / 32], QuantizedRow::kGuard);
      ASSERT_EQ(row.scaled_sum[size / 32], QuantizedRow::kGuard);
      ASSERT_EQ(row.half_sum[size / 16], QuantizedRow::kGuard);
    }
  }
}

TEST_P(RowOperations, QuantizeRowRoundsTiesToEven) {
  const std::vector<float> halves = {0.5f,  1.5f,    2.5f,    3.5f,   -0.5f, -1.5f,  -2.5f,  63.5f,
                                     64.5f, -126.5f, -125.5f, 125.5f, 0.25f, 126.5f, -63.5f, 0.0f};
  const std::vector<int> expected = {0,  2,    2,    4,   0, -2,  -2,  64,
                                     64, -126, -126, 126, 0, 126, -64, 0};
  // Either half of a block, with 127 in the other so that the scale is 1.
  for (const int offset : {0, 16}) {
    std::vector<float> x(32, 0.0f);
    std::copy(halves.begin(), halves.end(), x.begin() + offset);
    x[16 - offset] = 127.0f;
    const QuantizedRow row = quantize(ops(), x);
    ASSERT_EQ(row.scale[0], 1.0f);
    for (int i = 0; i < 16; ++i) ASSERT_EQ(row.values[offset + i], expected[i]) << halves[i];
  }
}

TEST_P(RowOperations, QuantizeRowTakesZeroAndTinyBlocks) {
  for (const float tiny : {0.0f, -0.0f, 0x1p-149f, 0x1p-130f, 0x1p-126f, 0x1p-121f, 0x1.8p-120f}) {
    std::vector<float> x(64, 0.0f);
    x[3] = tiny;
    x[20] = -tiny;
    x[40] = 1.0f;
    const QuantizedRow row = quantize(ops(), x);
    for (int i = 0; i < 32; ++i) {
      const float restored = row.scale[0] * row.values[i];
      ASSERT_LE(std::fabs(restored - x[i]), 0x1p-120f) << "from " << x[i];
      if (x[i] == 0.0f) {
        ASSERT_EQ(row.values[i], 0) << "beside " << tiny;
      }
    }
    ASSERT_EQ(row.values[40], 127);
    ASSERT_EQ(row.sum[1], 127);
    expect_same(row, quantize(generic(), x));
  }
}

TEST_P(RowOperations, QuantizeRowMarksABlockWithNaNOrInfinity) {
  for (const float bad : {kNaN, -kNaN, kInfinity, -kInfinity}) {
    for (int position = 32; position < 64; ++position) {
      std::vector<float> x(96, 1.0f);
      x[position] = bad;
      const QuantizedRow row = quantize(ops(), x);
      ASSERT_TRUE(std::isnan(row.scale[1])) << bad << " at " << position;
      ASSERT_TRUE(std::isnan(row.scaled_sum[1])) << bad << " at " << position;
      for (const int b : {0, 2}) {
        ASSERT_EQ(row.scale[b], 1.0f / 127.0f);
        ASSERT_EQ(row.sum[b], 127 * 32);
      }
      for (int i = 0; i < 96; ++i) ASSERT_GE(row.values[i], -127);
    }
  }
}

// The exponential's argument errs by 2^-24 of |gate|, so the result does by that part of itself.
// The exponential is clipped at 2^127, which leaves that part of a very negative gate.
TEST_P(RowOperations, RoundsToBf16AsTheScalarDefinitionDoes) {
  const std::vector<float> special = {
      0.0f,      -0.0f,     1.0f,       kInfinity,     -kInfinity,
      kNaN,      -kNaN,     0x1p-149f,  0x1p-126f,     0x1.fffffep127f,
      0x1.01p0f, 0x1.03p0f, -0x1.01p0f, 0x1.010002p0f, 3.3e38f};
  for (const int64_t size : {1, 15, 16, 31, 32, 45, 64, 576}) {
    Random random(static_cast<uint32_t>(size));
    std::vector<float> x = random.floats(size, -4.0f, 4.0f);
    for (size_t i = 0; i < special.size() && size > 40; ++i) x[i * 2 + 3] = special[i];
    const int64_t padded = (size + 31) / 32 * 32;
    std::vector<uint16_t> out(padded + 1, 0x1234);
    ops().round_row(x.data(), size, out.data());
    for (int64_t i = 0; i < size; ++i) ASSERT_EQ(out[i], f32_to_bf16(x[i])) << x[i];
    for (int64_t i = size; i < padded; ++i) ASSERT_EQ(out[i], 0);
    ASSERT_EQ(out[padded], 0x1234);
  }
}

void expect_silu_mul(float gate, float up, float out) {
  const double expected = gate / (1.0 + std::exp(-double{gate})) * up;
  const double tolerance = std::fabs(expected) * (2 * std::fabs(gate) + 8) * 0x1p-24 +
                           (std::fabs(gate) + 1) * 0x1p-126 * std::fabs(up);
  ASSERT_NEAR(out, expected, tolerance) << "gate " << gate << " up " << up;
}

TEST_P(RowOperations, SiluMulGatesTheOtherHalf) {
  Random random(3);
  for (const int64_t size : {16, 48, 1536}) {
    for (const float magnitude : {0.01f, 4.0f, 120.0f, 3000.0f}) {
      const std::vector<float> gate = random.floats(size, -magnitude, magnitude);
      const std::vector<float> up = random.floats(size, -3.0f, 3.0f);
      std::vector<float> out(size);
      std::vector<float> expected(size);
      ops().silu_mul(gate.data(), up.data(), size, out.data());
      for (int64_t i = 0; i < size; ++i) expect_silu_mul(gate[i], up[i], out[i]);
      generic().silu_mul(gate.data(), up.data(), size, expected.data());
      ASSERT_TRUE(same_bits(out.data(), expected.data(), size));

      std::vector<float> over_gate = gate;
      ops().silu_mul(over_gate.data(), up.data(), size, over_gate.data());
      ASSERT_TRUE(same_bits(over_gate.data(), expected.data(), size));
      std::vector<float> over_up = up;
      ops().silu_mul(gate.data(), over_up.data(), size, over_up.data());
      ASSERT_TRUE(same_bits(over_up.data(), expected.data(), size));
    }
  }
}

TEST_P(RowOperations, SiluMulTakesEverySizeOfGate) {
  const std::vector<float> gate = {0.0f,   -0.0f,   1e-40f, -1e-40f,  87.0f, -87.0f,
                                   88.8f,  -88.8f,  104.0f, -104.0f,  1e30f, -1e30f,
                                   126.5f, -126.5f, kNaN,   kInfinity};
  const std::vector<float> up(16, 2.0f);
  std::vector<float> out(16);
  std::vector<float> expected(16);
  ops().silu_mul(gate.data(), up.data(), 16, out.data());
  for (int i = 0; i < 14; ++i) expect_silu_mul(gate[i], up[i], out[i]);
  EXPECT_TRUE(std::isnan(out[14]));
  EXPECT_EQ(out[15], kInfinity);
  generic().silu_mul(gate.data(), up.data(), 16, expected.data());
  EXPECT_TRUE(same_bits(out.data(), expected.data(), 16));
}

// The argument of tanh errs by a few 2^-24 of itself, and so does 1 + tanh where it is small.
void expect_gelu_tanh_mul(float gate, float up, float out) {
  const double x = gate;
  const double t = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  const double expected = x / (1.0 + std::exp(-2.0 * t)) * up;
  const double tolerance = std::fabs(expected) * (8 * std::min(std::fabs(t), 100.0) + 8) * 0x1p-24 +
                           (std::fabs(x) + 1) * 0x1p-126 * std::fabs(up);
  ASSERT_NEAR(out, expected, tolerance) << "gate " << gate << " up " << up;
}

TEST_P(RowOperations, GeluTanhMulGatesTheOtherHalf) {
  Random random(6);
  for (const int64_t size : {16, 48, 2048}) {
    for (const float magnitude : {0.01f, 1.0f, 4.0f, 40.0f, 3000.0f}) {
      const std::vector<float> gate = random.floats(size, -magnitude, magnitude);
      const std::vector<float> up = random.floats(size, -3.0f, 3.0f);
      std::vector<float> out(size);
      std::vector<float> expected(size);
      ops().gelu_tanh_mul(gate.data(), up.data(), size, out.data());
      for (int64_t i = 0; i < size; ++i) expect_gelu_tanh_mul(gate[i], up[i], out[i]);
      generic().gelu_tanh_mul(gate.data(), up.data(), size, expected.data());
      ASSERT_TRUE(same_bits(out.data(), expected.data(), size));

      std::vector<float> over_gate = gate;
      ops().gelu_tanh_mul(over_gate.data(), up.data(), size, over_gate.data());
      ASSERT_TRUE(same_bits(over_gate.data(), expected.data(), size));
    }
  }
}

TEST_P(RowOperations, GeluTanhMulTakesEverySizeOfGate) {
  const std::vector<float> gate = {0.0f,  -0.0f,  1e-40f, -1e-40f, 5.0f,  -5.0f, 13.0f, -13.0f,
                                   88.8f, -88.8f, 1e12f,  -1e12f,  1e30f, 3.5f,  kNaN,  kInfinity};
  const std::vector<float> up(16, 2.0f);
  std::vector<float> out(16);
  ops().gelu_tanh_mul(gate.data(), up.data(), 16, out.data());
  for (int i = 0; i < 14; ++i) {
    if (std::fabs(gate[i]) < 1e12f) expect_gelu_tanh_mul(gate[i], up[i], out[i]);
  }
  EXPECT_EQ(out[10], 2e12f);
  EXPECT_NEAR(out[11], 0.0f, 1e-20f);
  EXPECT_EQ(out[12], 2e30f);
  EXPECT_TRUE(std::isnan(out[14]));
  EXPECT_EQ(out[15], kInfinity);
}

TEST_P(RowOperations, AddAddsToTheRow) {
  Random random(7);
  for (const int64_t size : {16, 48, 640}) {
    const std::vector<float> x = random.floats(size, -3.0f, 3.0f);
    const std::vector<float> before = random.floats(size + 4, -3.0f, 3.0f);
    std::vector<float> out = before;
    ops().add(x.data(), size, out.data());
    for (int64_t i = 0; i < size; ++i) ASSERT_EQ(out[i], before[i] + x[i]);
    ASSERT_TRUE(same_bits(out.data() + size, before.data() + size, 4)) << "wrote past the row";
  }
}

TEST_P(RowOperations, SoftCapBendsTowardsTheCap) {
  Random random(8);
  for (const float cap : {0.5f, 30.0f, 72.0f}) {
    for (const float magnitude : {0.01f, 1.0f, 60.0f, 1e6f}) {
      std::vector<float> x = random.floats(320, -magnitude, magnitude);
      const std::vector<float> before = x;
      ops().soft_cap(cap, 320, x.data());
      for (int64_t i = 0; i < 320; ++i) {
        ASSERT_NEAR(x[i], cap * std::tanh(double{before[i]} / cap), cap * 0x1p-21) << before[i];
      }
      std::vector<float> expected = before;
      generic().soft_cap(cap, 320, expected.data());
      ASSERT_TRUE(same_bits(x.data(), expected.data(), 320));
    }
  }
}

TEST_P(RowOperations, SoftCapKeepsNaN) {
  std::vector<float> x(16, 1.0f);
  x[3] = kNaN;
  x[5] = kInfinity;
  ops().soft_cap(30.0f, 16, x.data());
  EXPECT_TRUE(std::isnan(x[3]));
  EXPECT_TRUE(std::isnan(x[5]));
  EXPECT_NEAR(x[4], 30.0 * std::tanh(1.0 / 30.0), 1e-5);
}

TEST_P(RowOperations, RopeTurnsFirstHalfAgainstSecond) {
  Random random(4);
  for (const int64_t size : {2, 6, 8, 16, 64, 80, 128, 256}) {
    const int64_t half = size / 2;
    const std::vector<float> x = random.floats(size + 4, -3.0f, 3.0f);
    std::vector<float> cosine(half);
    std::vector<float> sine(half);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = random.uniform(-3.2f, 3.2f);
      cosine[i] = std::cos(angle);
      sine[i] = std::sin(angle);
    }
    for (const float factor : {1.0f, 0.180336f}) {
      std::vector<float> out = x;
      ops().rope(cosine.data(), sine.data(), factor, size, out.data());
      for (int64_t i = 0; i < half; ++i) {
        const double a = x[i];
        const double b = x[i + half];
        ASSERT_NEAR(out[i], (a * cosine[i] - b * sine[i]) * factor, 1e-6);
        ASSERT_NEAR(out[i + half], (b * cosine[i] + a * sine[i]) * factor, 1e-6);
      }
      ASSERT_TRUE(same_bits(out.data() + size, x.data() + size, 4)) << "wrote past the head";
      std::vector<float> expected = x;
      generic().rope(cosine.data(), sine.data(), factor, size, expected.data());
      ASSERT_TRUE(same_bits(out.data(), expected.data(), size));
    }
  }
}

}  // namespace
}  // namespace forerun
