// The matrix product, every variant by every weight format and number of rows: against a product in
// double from the source blocks, and bit for bit against plain loops in the order matmul.h states.
#include "kernels/matmul.h"

#include <cstring>
#include <limits>

#include "kernels/test_cases.h"
#include "tensor/float16.h"
#include "tensor/quant_block.h"

namespace forerun {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kUntouched = -12345.0f;

// A type and where a stored block keeps its f16 scale and minimum.
struct Stored {
  DType dtype;
  int scale_at;
  int min_at = -1;
};
constexpr Stored kQuantised[] = {{DType::kQ8_0, 0},   {DType::kQ4_0, 0},    {DType::kQ4_1, 0, 2},
                                 {DType::kQ5_0, 0},   {DType::kQ5_1, 0, 2}, {DType::kQ2_K, 80, 82},
                                 {DType::kQ3_K, 108}, {DType::kQ4_K, 0, 2}, {DType::kQ5_K, 0, 2},
                                 {DType::kQ6_K, 208}, {DType::kIQ4_NL, 0},  {DType::kIQ4_XS, 0}};

std::vector<DType> quantised_dtypes() {
  std::vector<DType> dtypes;
  for (const Stored& stored : kQuantised) dtypes.push_back(stored.dtype);
  return dtypes;
}
std::vector<DType> all_dtypes() {
  std::vector<DType> dtypes = quantised_dtypes();
  dtypes.insert(dtypes.end(), {DType::kF32, DType::kF16, DType::kBF16});
  return dtypes;
}
Stored stored(DType dtype) {
  for (const Stored& row : kQuantised) {
    if (row.dtype == dtype) return row;
  }
  return {dtype, 0};
}
// At least `columns`, in whole blocks of the type.
int64_t whole_columns(DType dtype, int64_t columns) {
  const int64_t block = traits(dtype).block_elements;
  return (columns + block - 1) / block * block;
}

bool is_dense(DType dtype) {
  return traits(dtype).block_elements == 1;
}
float read_f16(const uint8_t* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  return f16_to_f32(half);
}
void write_f16(uint8_t* p, float value) {
  const uint16_t half = f32_to_f16(value);
  std::memcpy(p, &half, sizeof(half));
}

void write_bf16(uint8_t* p, float value) {
  const uint16_t half = f32_to_bf16(value);
  std::memcpy(p, &half, sizeof(half));
}
// A dense element.
void write_dense(DType dtype, uint8_t* p, float value) {
  if (dtype == DType::kF16) return write_f16(p, value);
  if (dtype == DType::kBF16) return write_bf16(p, value);
  std::memcpy(p, &value, sizeof(value));
}

// A weight as a file holds it.
struct Source {
  DType dtype;
  int64_t rows;
  int64_t columns;
  std::vector<uint8_t> bytes;

  Source(DType type, int64_t num_rows, int64_t num_columns)
      : dtype(type), rows(num_rows), columns(num_columns), bytes(rows * row_bytes(type, columns)) {}

  int64_t blocks() const { return columns / traits(dtype).block_elements; }
  uint8_t* block(int64_t row, int64_t b) {
    return bytes.data() + (row * blocks() + b) * traits(dtype).block_bytes;
  }
  const uint8_t* block(int64_t row, int64_t b) const {
    return const_cast<Source*>(this)->block(row, b);
  }
  PackedMatrix packed() const {
    PackedMatrix matrix(dtype, rows, columns);
    matrix.pack({dtype, {rows, columns}, bytes.data()}, {0, matrix.panels()});
    return matrix;
  }
};

void set_scales(Source& source, int64_t row, int64_t b, float scale, float min) {
  const Stored place = stored(source.dtype);
  write_f16(source.block(row, b) + place.scale_at, scale);
  if (place.min_at >= 0) write_f16(source.block(row, b) + place.min_at, min);
}

Source random_source(DType dtype, int64_t rows, int64_t columns, uint32_t seed) {
  Random random(seed);
  Source source(dtype, rows, columns);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t b = 0; b < source.blocks(); ++b) {
      uint8_t* block = source.block(row, b);
      const float value = random.uniform(-1.0f, 1.0f);
      if (is_dense(dtype)) {
        write_dense(dtype, block, value);
      } else {
        for (int i = 0; i < traits(dtype).block_bytes; ++i) {
          block[i] = static_cast<uint8_t>(random.integer(0, 255));
        }
        set_scales(source, row, b, value * 0.05f, random.uniform(-0.1f, 0.1f));
      }
    }
  }
  return source;
}

float dense_weight(const Source& source, int64_t row, int64_t i) {
  if (source.dtype == DType::kF16) return read_f16(source.block(row, i));
  if (source.dtype == DType::kBF16) {
    uint16_t half;
    std::memcpy(&half, source.block(row, i), sizeof(half));
    return bf16_to_f32(half);
  }
  float value;
  std::memcpy(&value, source.block(row, i), sizeof(value));
  return value;
}

// Activations in every form; only one of them is read.
struct Activations {
  int64_t rows;
  int64_t columns;
  int64_t dense_stride;  // beyond the columns lies NaN that nobody may read
  std::vector<float> dense;
  int64_t bf16_stride;  // beyond the next multiple of 32 lies NaN
  std::vector<uint16_t> bf16;
  std::vector<int8_t> values;
  std::vector<float> scale;
  std::vector<int32_t> sum;
  std::vector<float> scaled_sum;
  std::vector<int16_t> half_sum;

  Activations(int64_t num_rows, int64_t num_columns)
      : rows(num_rows),
        columns(num_columns),
        dense_stride(columns + 5),
        dense(rows * dense_stride, kNaN),
        bf16_stride((columns + 31) / 32 * 32 + 32),
        bf16(rows * bf16_stride, 0x7fc0),
        values(rows * columns),
        scale(rows * columns / 32),
        sum(scale.size()),
        scaled_sum(scale.size()),
        half_sum(2 * scale.size()) {}

  float& dense_at(int64_t row, int64_t i) { return dense[row * dense_stride + i]; }
  float dense_at(int64_t row, int64_t i) const { return dense[row * dense_stride + i]; }

  // After values are set.
  void complete() {
    for (int64_t row = 0; row < rows; ++row) {
      uint16_t* rounded = bf16.data() + row * bf16_stride;
      for (int64_t i = 0; i < bf16_stride - 32; ++i) {
        rounded[i] = i < columns ? f32_to_bf16(dense_at(row, i)) : 0;
      }
    }
    for (size_t b = 0; b < sum.size(); ++b) {
      for (const size_t half : {2 * b, 2 * b + 1}) {
        half_sum[half] = 0;
        for (int i = 0; i < 16; ++i) half_sum[half] += values[half * 16 + i];
      }
      sum[b] = half_sum[2 * b] + half_sum[2 * b + 1];
      scaled_sum[b] = scale[b] * static_cast<float>(sum[b]);
    }
  }
  QuantizedRows quantized() {
    return {values.data(), scale.data(), sum.data(), scaled_sum.data(), half_sum.data(), columns};
  }
};

Activations random_activations(int64_t rows, int64_t columns, uint32_t seed) {
  Random random(seed);
  Activations x(rows, columns);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < columns; ++i) x.dense_at(row, i) = random.uniform(-2.0f, 2.0f);
  }
  for (int8_t& value : x.values) value = static_cast<int8_t>(random.integer(-127, 127));
  for (float& value : x.scale) value = random.uniform(0.001f, 0.02f);
  x.complete();
  return x;
}

float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}
// fma with denormals as zero.
float flushing_fma(float a, float b, float c) {
  return flushed(std::fma(flushed(a), flushed(b), flushed(c)));
}

// BF16 weights by rounded activations, as vector dot products or tiles take them.
float rounded_product(const Source& source, const Activations& x, int64_t row, int64_t column,
                      Bf16Form form) {
  const auto term = [&](int64_t i, float acc) {
    if (i >= x.columns) return flushing_fma(0.0f, 0.0f, acc);
    return flushing_fma(bf16_to_f32(x.bf16[row * x.bf16_stride + i]),
                        dense_weight(source, column, i), acc);
  };
  float acc = 0.0f;
  if (form == Bf16Form::kPairs) {
    for (int64_t i = 0; i < x.columns; i += 2) acc = term(i, term(i + 1, acc));
    return acc;
  }
  for (int64_t begin = 0; begin < x.columns; begin += 32) {
    float parts[2] = {};
    for (int64_t i = begin; i < begin + 32; ++i) parts[i % 2] = term(i, parts[i % 2]);
    acc = flushed(acc + flushed(parts[0] + parts[1]));
  }
  return acc;
}

bool rounds_activations(DType dtype, Bf16Form form) {
  return dtype == DType::kBF16 && form != Bf16Form::kFloats;
}

// A quantised column of the weight, taken apart.
std::vector<QuantBlock> decoded(const Source& source, int64_t column) {
  std::vector<QuantBlock> blocks(source.blocks());
  for (int64_t b = 0; b < source.blocks(); ++b) {
    decode_block(source.dtype, source.block(column, b), blocks[b]);
  }
  return blocks;
}

// Its part of 32 inputs, `at` being the first within the block.
struct Part {
  const QuantTraits& type;
  const QuantBlock& block;
  int at;

  int first_scale() const { return at / type.scale_inputs; }
  float scale(int i) const {
    const float d = f16_to_f32(block.scale);
    return type.has_sub_scales() ? d * block.sub_scales[first_scale() + i] : d;
  }
  float min() const {
    const float m = f16_to_f32(block.min);
    return type.has_sub_scales() ? m * block.sub_mins[first_scale()] : m;
  }
  // Of inputs [begin, end).
  float dot(const int8_t* x, int begin, int end) const {
    int32_t sum = 0;
    for (int i = begin; i < end; ++i) sum += level_of(type, block.numbers[at + i]) * x[i];
    return static_cast<float>(sum);
  }
};

// Block `index` of the activations added to an output, in the order matmul.h states.
float add_block(const Part& part, const Activations& x, int64_t index, float acc) {
  const int8_t* values = x.values.data() + index * 32;
  if (part.type.scale_inputs == 32) {
    acc = std::fma(part.dot(values, 0, 32), part.scale(0) * x.scale[index], acc);
    return part.type.has_min ? std::fma(part.min(), x.scaled_sum[index], acc) : acc;
  }
  float term = part.dot(values, 0, 16) * part.scale(0);
  term = std::fma(part.dot(values, 16, 32), part.scale(1), term);
  if (part.type.has_min) {
    const int8_t* mins = part.block.sub_mins + part.first_scale();
    const int32_t sums = mins[0] * x.half_sum[2 * index] + mins[1] * x.half_sum[2 * index + 1];
    term = std::fma(static_cast<float>(sums), f16_to_f32(part.block.min), term);
  }
  return std::fma(term, x.scale[index], acc);
}

float dense_product(const Source& source, const Activations& x, int64_t row, int64_t column,
                    Bf16Form form) {
  if (rounds_activations(source.dtype, form)) {
    return rounded_product(source, x, row, column, form);
  }
  float acc = 0.0f;
  for (int64_t i = 0; i < x.columns; ++i) {
    acc = std::fma(x.dense_at(row, i), dense_weight(source, column, i), acc);
  }
  return acc;
}

// Every output in the order matmul.h states.
std::vector<float> ordered_products(const Source& source, const Activations& x, Bf16Form form) {
  std::vector<float> out(x.rows * source.rows);
  const int64_t blocks = x.columns / 32;
  for (int64_t column = 0; column < source.rows; ++column) {
    if (is_dense(source.dtype)) {
      for (int64_t row = 0; row < x.rows; ++row) {
        out[row * source.rows + column] = dense_product(source, x, row, column, form);
      }
      continue;
    }
    const QuantTraits& type = *find_quant_traits(source.dtype);
    const std::vector<QuantBlock> weights = decoded(source, column);
    for (int64_t row = 0; row < x.rows; ++row) {
      float& acc = out[row * source.rows + column];
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t input = b * 32;
        const Part part{type, weights[input / type.block_inputs],
                        static_cast<int>(input % type.block_inputs)};
        acc = add_block(part, x, row * blocks + b, acc);
      }
    }
  }
  return out;
}

struct Bounded {
  double value;
  double tolerance;
};

// One output in double, element by element, from the values tests/golden holds the types to. Each
// of the kernel's float operations errs by at most 2^-24 of a partial sum, which is at most the sum
// of the magnitudes; a scale and a minimum may each have been rounded before.
Bounded exact_product(const Source& source, const std::vector<QuantBlock>& weights,
                      const Activations& x, int64_t row, int64_t column, Bf16Form form) {
  const bool rounded = rounds_activations(source.dtype, form);
  double value = 0.0;
  double magnitude = 0.0;
  const auto add = [&](double term) {
    value += term;
    magnitude += std::fabs(term);
  };
  const QuantTraits* type = find_quant_traits(source.dtype);
  for (int64_t i = 0; i < x.columns; ++i) {
    const int64_t at = row * x.columns + i;
    if (type == nullptr) {
      const float activation =
          rounded ? bf16_to_f32(x.bf16[row * x.bf16_stride + i]) : x.dense_at(row, i);
      add(double{activation} * dense_weight(source, column, i));
      continue;
    }
    const QuantBlock& block = weights[i / type->block_inputs];
    const auto in_block = static_cast<int>(i % type->block_inputs);
    const int sub = in_block / type->scale_inputs;
    const double activation = double{x.scale[at / 32]} * x.values[at];
    const double scale = type->has_sub_scales() ? block.sub_scales[sub] : 1;
    add(activation * f16_to_f32(block.scale) * scale * level_of(*type, block.numbers[in_block]));
    if (type->has_min) {
      add(activation * f16_to_f32(block.min) * (type->has_sub_scales() ? block.sub_mins[sub] : 1));
    }
  }
  const double operations = type == nullptr ? x.columns : 4 * x.columns / 32 + 3;
  return {value, operations * 0x1p-24 * magnitude};
}

// An output with one row and 16 columns more than the product may touch.
struct Output {
  int64_t stride;
  std::vector<float> values;

  Output(const PackedMatrix& matrix, int64_t rows)
      : stride(matrix.panels() * kPanelRows + 16), values((rows + 1) * stride, kUntouched) {}
  float* row(int64_t index) { return values.data() + index * stride; }
};

MatmulArgs arguments(const PackedMatrix& matrix, Activations& x, int64_t first_row,
                     int64_t num_rows, float* out, int64_t out_stride) {
  MatmulArgs args;
  args.weight = &matrix;
  args.quantized = x.quantized().from(first_row);
  args.dense = &x.dense_at(first_row, 0);
  args.dense_stride = x.dense_stride;
  args.bf16 = x.bf16.data() + first_row * x.bf16_stride;
  args.bf16_stride = x.bf16_stride;
  args.num_rows = num_rows;
  args.panels = {0, matrix.panels()};
  args.out = out;
  args.out_stride = out_stride;
  return args;
}

// The whole product of rows [first_row, first_row + num_rows).
Output product(const MatmulVariant& variant, const PackedMatrix& matrix, Activations& x,
               int64_t first_row, int64_t num_rows) {
  Output out(matrix, num_rows);
  variant.function(arguments(matrix, x, first_row, num_rows, out.row(0), out.stride));
  return out;
}

class Matmul : public testing::TestWithParam<MatmulVariant> {};

INSTANTIATE_TEST_SUITE_P(Variants, Matmul, testing::ValuesIn(matmul_variants()),
                         [](const auto& info) { return info.param.name; });

struct Shape {
  int64_t rows;
  int64_t columns;
};
constexpr Shape kShapes[] = {{1, 32}, {16, 64}, {17, 96}, {33, 576}, {50, 160}, {20, 1536}};
// Rows of dense weights need not be whole blocks.
constexpr Shape kDenseShapes[] = {{17, 1}, {35, 45}, {83, 94}, {160, 31}};
constexpr int64_t kNumRows[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                11, 12, 13, 14, 15, 16, 17, 32, 64, 256};

std::string describe(const Source& source) {
  return std::string(traits(source.dtype).name) + " [" + std::to_string(source.rows) + ", " +
         std::to_string(source.columns) + "]";
}

// What every variant is held to: computed once, for the whole program.
struct Reference {
  Source source;
  PackedMatrix matrix;
  Activations x;
  std::vector<float> ordered[std::size(kBf16Forms)];  // [256, rows]; BF16 has one for each form

  const float* ordered_row(const MatmulVariant& variant, int64_t row) const {
    const auto form = source.dtype == DType::kBF16 ? static_cast<size_t>(variant.bf16) : 0;
    return ordered[form].data() + row * source.rows;
  }
};

Reference make_reference(DType dtype, const Shape& shape, uint32_t seed) {
  Source source = random_source(dtype, shape.rows, shape.columns, seed);
  Activations x = random_activations(/*rows=*/256, shape.columns, seed + 1000);
  PackedMatrix matrix = source.packed();
  Reference reference{std::move(source), std::move(matrix), std::move(x), {}};
  for (const Bf16Form form : kBf16Forms) {
    if (form != Bf16Form::kFloats && dtype != DType::kBF16) break;
    reference.ordered[static_cast<size_t>(form)] =
        ordered_products(reference.source, reference.x, form);
  }
  return reference;
}

std::vector<Reference> make_references() {
  std::vector<Reference> references;
  uint32_t seed = 0;
  for (const DType dtype : all_dtypes()) {
    int64_t last_columns = 0;
    for (const Shape& shape : kShapes) {
      ++seed;
      const int64_t columns = whole_columns(dtype, shape.columns);
      if (columns == last_columns) continue;
      last_columns = columns;
      references.push_back(make_reference(dtype, {shape.rows, columns}, seed));
    }
    if (!is_dense(dtype)) continue;
    for (const Shape& shape : kDenseShapes) {
      references.push_back(make_reference(dtype, shape, ++seed));
    }
  }
  return references;
}

std::vector<Reference>& references() {
  static std::vector<Reference> all = make_references();
  return all;
}

TEST_P(Matmul, IsNearTheExactProductOfTheSourceBlocks) {
  for (Reference& reference : references()) {
    SCOPED_TRACE(describe(reference.source));
    constexpr int64_t kRows = 19;
    Output out = product(GetParam(), reference.matrix, reference.x, 0, kRows);
    for (int64_t column = 0; column < reference.source.rows; ++column) {
      std::vector<QuantBlock> weights;
      if (!is_dense(reference.source.dtype)) weights = decoded(reference.source, column);
      for (int64_t row = 0; row < kRows; ++row) {
        const Bounded exact =
            exact_product(reference.source, weights, reference.x, row, column, GetParam().bf16);
        ASSERT_NEAR(out.row(row)[column], exact.value, exact.tolerance);
      }
    }
  }
}

TEST_P(Matmul, FollowsTheStatedOrderBitForBitAtEveryNumberOfRows) {
  for (Reference& reference : references()) {
    SCOPED_TRACE(describe(reference.source));
    const int64_t columns = reference.source.rows;
    for (const int64_t num_rows : kNumRows) {
      Output out = product(GetParam(), reference.matrix, reference.x, 0, num_rows);
      for (int64_t row = 0; row < num_rows; ++row) {
        ASSERT_TRUE(same_bits(out.row(row), reference.ordered_row(GetParam(), row), columns))
            << "row " << row << " of " << num_rows;
      }
    }
  }
}

TEST_P(Matmul, GivesARowTheSameBitsAloneAndInAnyCompany) {
  for (Reference& reference : references()) {
    SCOPED_TRACE(describe(reference.source));
    std::vector<Output> alone;
    for (int64_t row = 0; row < reference.x.rows; ++row) {
      alone.push_back(product(GetParam(), reference.matrix, reference.x, row, 1));
    }
    for (const int64_t num_rows : kNumRows) {
      const int64_t first = reference.x.rows - num_rows;
      Output out = product(GetParam(), reference.matrix, reference.x, first, num_rows);
      for (int64_t row = 0; row < num_rows; ++row) {
        ASSERT_TRUE(same_bits(out.row(row), alone[first + row].row(0), reference.source.rows))
            << "row " << row << " of " << num_rows;
      }
    }
  }
}

TEST_P(Matmul, AddsTheCompleteProductToWhatIsThere) {
  for (Reference& reference : references()) {
    SCOPED_TRACE(describe(reference.source));
    const int64_t columns = reference.source.rows;
    for (const int64_t num_rows : {1, 7, 18}) {
      Output out(reference.matrix, num_rows);
      Random random(5);
      for (float& value : out.values) value = random.uniform(-3.0f, 3.0f);
      std::vector<float> expected = out.values;
      for (int64_t row = 0; row < num_rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
          expected[row * out.stride + column] += reference.ordered_row(GetParam(), row)[column];
        }
      }
      MatmulArgs args =
          arguments(reference.matrix, reference.x, 0, num_rows, out.row(0), out.stride);
      args.add = true;
      GetParam().function(args);
      for (int64_t row = 0; row < num_rows; ++row) {
        ASSERT_TRUE(same_bits(out.row(row), expected.data() + row * out.stride, columns));
      }
    }
  }
}

// Whether the columns [begin, end) of a row are as the product found them.
testing::AssertionResult untouched(const float* row, int64_t begin, int64_t end) {
  for (int64_t column = begin; column < end; ++column) {
    if (row[column] != kUntouched) {
      return testing::AssertionFailure() << "column " << column << " was written";
    }
  }
  return testing::AssertionSuccess();
}

TEST_P(Matmul, WritesOnlyItsPanelsAndRows) {
  for (Reference& reference : references()) {
    SCOPED_TRACE(describe(reference.source));
    const PackedMatrix& matrix = reference.matrix;
    for (const int64_t num_rows : {1, 3, 9, 16, 21}) {
      for (int64_t panel = 0; panel < matrix.panels(); ++panel) {
        Output out(matrix, num_rows);
        MatmulArgs args = arguments(matrix, reference.x, 0, num_rows, out.row(0), out.stride);
        args.panels = {panel, panel + 1};
        GetParam().function(args);
        const int64_t begin = panel * kPanelRows;
        const int64_t width = std::min<int64_t>(kPanelRows, matrix.rows() - begin);
        for (int64_t row = 0; row < num_rows; ++row) {
          const float* expected = reference.ordered_row(GetParam(), row);
          ASSERT_TRUE(untouched(out.row(row), 0, begin));
          ASSERT_TRUE(same_bits(out.row(row) + begin, expected + begin, width));
          ASSERT_TRUE(untouched(out.row(row), begin + kPanelRows, out.stride));
        }
        ASSERT_TRUE(untouched(out.row(num_rows), 0, out.stride));
      }
    }
  }
}

TEST_P(Matmul, PutsItsFirstColumnWhereItIsTold) {
  for (Reference& reference : references()) {
    SCOPED_TRACE(describe(reference.source));
    const PackedMatrix& matrix = reference.matrix;
    for (const int64_t num_rows : {2, 16}) {
      for (int64_t panel = 0; panel < matrix.panels(); ++panel) {
        Output out(matrix, num_rows);
        MatmulArgs args = arguments(matrix, reference.x, 0, num_rows, out.row(0), out.stride);
        args.panels = {panel, panel + 1};
        args.first_column = panel * kPanelRows;
        GetParam().function(args);
        const int64_t width = std::min<int64_t>(kPanelRows, matrix.rows() - args.first_column);
        for (int64_t row = 0; row < num_rows; ++row) {
          const float* expected = reference.ordered_row(GetParam(), row);
          ASSERT_TRUE(same_bits(out.row(row), expected + args.first_column, width));
          ASSERT_TRUE(untouched(out.row(row), kPanelRows, out.stride));
        }
      }
    }
  }
}

// Tile units keep their configuration per thread.
TEST_P(Matmul, IsSharedByPanelsOverWorkerThreads) {
  Team team(3);
  for (Reference& reference : references()) {
    SCOPED_TRACE(describe(reference.source));
    constexpr int64_t kRows = 20;
    const int64_t columns = reference.source.rows;
    Output out(reference.matrix, kRows);
    const MatmulArgs whole =
        arguments(reference.matrix, reference.x, 0, kRows, out.row(0), out.stride);
    for (int region = 0; region < 2; ++region) {
      team.run([&](int member) {
        MatmulArgs args = whole;
        args.panels = share_of(reference.matrix.panels(), member, team.size());
        GetParam().function(args);
      });
      for (int64_t row = 0; row < kRows; ++row) {
        ASSERT_TRUE(same_bits(out.row(row), reference.ordered_row(GetParam(), row), columns));
      }
    }
  }
}

// One extreme value per weight byte, activation and scale; the rest of the operands as they were.
struct Extreme {
  std::vector<uint8_t> weights;  // repeated over a block's bytes
  std::vector<int8_t> values;    // repeated over a row
};
const Extreme kExtremes[] = {
    {{0x80}, {127}},       {{0x80}, {-127}},         {{0x7f}, {-127, -127}}, {{0x7f, 0x80}, {127}},
    {{0x81}, {127, -127}}, {{0xff}, {127}},          {{0xff}, {-127}},       {{0x00}, {-127}},
    {{0xf0}, {127, -127}}, {{0x0f, 0xf0}, {-127, 1}}};
constexpr float kWeightScales[] = {0.0f, 0x1p-24f, -0x1p-24f, 0x1p-15f, 1.0f, 65504.0f, -65504.0f};
constexpr float kActivationScales[] = {0.0f, 0x1p-149f, 0x1p-127f, 1.0f, 0x1p100f, 0x1.8p127f};

void fill(Source& source, Activations& x, const Extreme& extreme) {
  for (int64_t row = 0; row < source.rows; ++row) {
    for (int64_t b = 0; b < source.blocks(); ++b) {
      uint8_t* block = source.block(row, b);
      const Stored place = stored(source.dtype);
      const float scale = read_f16(block + place.scale_at);
      const float min = place.min_at >= 0 ? read_f16(block + place.min_at) : 0.0f;
      for (int i = 0; i < traits(source.dtype).block_bytes; ++i) {
        block[i] = extreme.weights[i % extreme.weights.size()];
      }
      set_scales(source, row, b, scale, min);
    }
  }
  for (size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = extreme.values[i % extreme.values.size()];
}

// Every pair of a weight's and an activation's scale: by column, and by row.
void fill_scales(Source& source, Activations& x) {
  for (int64_t row = 0; row < source.rows; ++row) {
    const float scale = kWeightScales[row % std::size(kWeightScales)];
    const float min = kWeightScales[(row + row / 7) % std::size(kWeightScales)];
    for (int64_t b = 0; b < source.blocks(); ++b) set_scales(source, row, b, scale, min);
  }
  const size_t blocks = x.columns / 32;
  for (size_t b = 0; b < x.scale.size(); ++b) {
    x.scale[b] = kActivationScales[b / blocks % std::size(kActivationScales)];
  }
}

void expect_ordered(const MatmulVariant& variant, const Source& source, Activations& x) {
  const std::vector<float> expected = ordered_products(source, x, variant.bf16);
  const PackedMatrix matrix = source.packed();
  for (const int64_t num_rows : {int64_t{1}, int64_t{3}, x.rows}) {
    for (int64_t first = 0; first + num_rows <= x.rows; first += num_rows) {
      Output out = product(variant, matrix, x, first, num_rows);
      for (int64_t row = 0; row < num_rows; ++row) {
        ASSERT_TRUE(
            same_bits(out.row(row), expected.data() + (first + row) * source.rows, source.rows))
            << describe(source) << " row " << first + row;
      }
    }
  }
}

TEST_P(Matmul, IsExactAtTheExtremesOfIntegersAndScales) {
  for (const DType dtype : quantised_dtypes()) {
    for (const Extreme& extreme : kExtremes) {
      Source source = random_source(dtype, /*rows=*/49, whole_columns(dtype, 96), /*seed=*/3);
      Activations x = random_activations(/*rows=*/12, source.columns, /*seed=*/4);
      fill(source, x, extreme);
      x.complete();
      expect_ordered(GetParam(), source, x);
      fill_scales(source, x);
      x.complete();
      expect_ordered(GetParam(), source, x);
    }
  }
}

TEST_P(Matmul, SumsTheLargestIntegersWithoutSaturation) {
  struct Sum {
    DType dtype;
    uint8_t byte;
    int8_t value;
    float weight;
  };
  const Sum sums[] = {
      {DType::kQ8_0, 0x80, 127, -128.0f},       {DType::kQ8_0, 0x80, -127, -128.0f},
      {DType::kQ8_0, 0x7f, -127, 127.0f},       {DType::kQ4_0, 0x00, 127, -8.0f},
      {DType::kQ4_0, 0xff, 127, 7.0f},          {DType::kQ4_1, 0xff, -127, 15.0f},
      {DType::kQ4_1, 0xff, 127, 15.0f},         {DType::kQ5_0, 0x00, 127, -16.0f},
      {DType::kQ5_0, 0xff, -127, 15.0f},        {DType::kQ5_1, 0xff, 127, 31.0f},
      {DType::kQ5_1, 0xff, -127, 31.0f},        {DType::kIQ4_NL, 0x00, -127, -127.0f},
      {DType::kIQ4_NL, 0xff, 127, 113.0f},      {DType::kQ2_K, 0xff, 127, 15.0f * 3},
      {DType::kQ3_K, 0xff, -127, 31.0f * 3},    {DType::kQ3_K, 0x00, 127, 32.0f * 4},
      {DType::kQ4_K, 0xff, 127, 63.0f * 15},    {DType::kQ5_K, 0xff, -127, 63.0f * 31},
      {DType::kQ6_K, 0xff, 127, -31.0f},        {DType::kQ6_K, 0xff, -127, -31.0f},
      {DType::kIQ4_XS, 0x00, 127, 32.0f * 127}, {DType::kIQ4_XS, 0xff, -127, 31.0f * 113}};
  for (const Sum& sum : sums) {
    Source source(sum.dtype, /*num_rows=*/16, whole_columns(sum.dtype, 64));
    Activations x(/*num_rows=*/8, source.columns);
    fill(source, x, {{sum.byte}, {sum.value}});
    for (int64_t row = 0; row < 16; ++row) {
      for (int64_t b = 0; b < source.blocks(); ++b) set_scales(source, row, b, 1.0f, 0.0f);
    }
    std::fill(x.scale.begin(), x.scale.end(), 1.0f);
    x.complete();
    Output out = product(GetParam(), source.packed(), x, 0, x.rows);
    for (int64_t row = 0; row < x.rows; ++row) {
      for (int64_t column = 0; column < 16; ++column) {
        ASSERT_EQ(out.row(row)[column], sum.weight * sum.value * static_cast<float>(x.columns))
            << describe(source);
      }
    }
  }
}

// NaN where `is_nan(row, column)` says so, and nowhere else.
template <class Predicate>
void expect_nan(const MatmulVariant& variant, const Source& source, Activations& x,
                Predicate is_nan) {
  Output out = product(variant, source.packed(), x, 0, x.rows);
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t column = 0; column < source.rows; ++column) {
      ASSERT_EQ(std::isnan(out.row(row)[column]), is_nan(row, column))
          << describe(source) << " row " << row << " column " << column;
    }
  }
}

TEST_P(Matmul, CarriesANaNToItsRowOrColumnAndNoOther) {
  for (const DType dtype : all_dtypes()) {
    for (const int64_t rows : {1, 7, 16}) {
      const int64_t nan_row = rows / 2;
      Source source = random_source(dtype, /*rows=*/20, whole_columns(dtype, 96), /*seed=*/8);
      Activations x = random_activations(rows, source.columns, /*seed=*/9);
      x.dense_at(nan_row, 70) = kNaN;
      x.scale[nan_row * source.columns / 32 + 2] = kNaN;
      x.complete();
      expect_nan(GetParam(), source, x, [&](int64_t row, int64_t) { return row == nan_row; });

      x = random_activations(rows, source.columns, /*seed=*/9);
      const int64_t last_block = source.blocks() - 1;
      if (is_dense(dtype)) {
        write_dense(dtype, source.block(13, last_block), kNaN);
      } else {
        write_f16(source.block(13, last_block) + stored(dtype).scale_at, kNaN);
      }
      expect_nan(GetParam(), source, x, [&](int64_t, int64_t column) { return column == 13; });
    }
  }
}

TEST_P(Matmul, TakesHugeAndDenormalDenseOperands) {
  constexpr float kValues[] = {0.0f, -0.0f, 0x1p-149f, -0x1p-130f, 1.0f, 0x1.8p127f, -0x1p120f};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    Source source = random_source(dtype, /*rows=*/20, /*columns=*/64, /*seed=*/6);
    Activations x = random_activations(/*rows=*/12, source.columns, /*seed=*/7);
    for (int64_t row = 0; row < x.rows; ++row) {
      for (int64_t i = row % 5; i < x.columns; i += 5) {
        x.dense_at(row, i) = kValues[(i / 5 + row) % std::size(kValues)];
      }
    }
    for (int64_t column = 0; column < source.rows; ++column) {
      for (int64_t i = column % 3; i < source.columns; i += 11) {
        const float value = kValues[(i + column) % std::size(kValues)];
        const float f16_value = std::clamp(value * 0x1p125f, -65504.0f, 0x1p-24f);
        write_dense(dtype, source.block(column, i), dtype == DType::kF16 ? f16_value : value);
      }
    }
    x.complete();
    expect_ordered(GetParam(), source, x);
  }
}

}  // namespace
}  // namespace forerun
