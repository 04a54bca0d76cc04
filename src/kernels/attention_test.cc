// Attention over pages on every instruction set: against a softmax in double over the stored keys
// and values, and bit for bit against itself in other company.
#include "kernels/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/test_cases.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kHeadDims[] = {8, 16, 64, 80, 128, 256};
constexpr int64_t kLengths[] = {1,   2,   15,  16,  17,  31,  32,  33,  63,  64,  65, 100,
                                255, 256, 257, 287, 288, 289, 511, 512, 513, 600, 700};
constexpr int64_t kLongest = 700;

// One head's keys and values of a sequence, page by page, element by element where attention.h puts
// them.
class Context final {
 public:
  std::vector<std::vector<uint8_t>> keys;
  std::vector<std::vector<uint8_t>> values;

  // Pages full of large finite numbers, as a page's last owner may leave them.
  Context(KvType type, int64_t dim, int64_t length, uint32_t garbage_seed)
      : type_(type), head_dim_(dim) {
    Random random(garbage_seed);
    const int64_t num_pages = (length + kPageTokens - 1) / kPageTokens;
    for (int64_t page = 0; page < num_pages; ++page) {
      keys.emplace_back(page_head_bytes(type, dim), 0);
      values.emplace_back(page_head_bytes(type, dim), 0);
      for (int64_t position = page * kPageTokens; position < (page + 1) * kPageTokens; ++position) {
        for (int64_t d = 0; d < dim; ++d) {
          set_key(position, d, garbage(random));
          set_value(position, d, garbage(random));
        }
        if (type != KvType::kInt8) continue;
        key_scale(position) = random.uniform(0.0f, 512.0f);
        value_scale(position) = random.uniform(0.0f, 512.0f);
      }
    }
  }

  KvType type() const { return type_; }
  int64_t head_dim() const { return head_dim_; }

  // An element as it stands: the bits of a float, or a byte.
  uint16_t key(int64_t position, int64_t d) const {
    return read(keys, position, key_at(position, d));
  }
  uint16_t value(int64_t position, int64_t d) const {
    return read(values, position, value_at(position, d));
  }
  void set_key(int64_t position, int64_t d, uint16_t element) {
    write(keys, position, key_at(position, d), element);
  }
  void set_value(int64_t position, int64_t d, uint16_t element) {
    write(values, position, value_at(position, d), element);
  }
  float& key_scale(int64_t position) { return scale(keys, position); }
  float& value_scale(int64_t position) { return scale(values, position); }

  // What they stand for.
  float key_number(int64_t position, int64_t d) {
    if (type_ != KvType::kInt8) return number(key(position, d));
    return key_scale(position) * static_cast<float>(key(position, d) - 128);
  }
  float value_number(int64_t position, int64_t d) {
    if (type_ != KvType::kInt8) return number(value(position, d));
    return value_scale(position) * static_cast<float>(static_cast<int8_t>(value(position, d)));
  }

 private:
  using Pages = std::vector<std::vector<uint8_t>>;

  uint16_t garbage(Random& random) const {
    if (type_ == KvType::kInt8) return static_cast<uint16_t>(random.integer(0, 255));
    return f32_to_f16(random.uniform(-65504.0f, 65504.0f));
  }
  float number(uint16_t bits) const {
    return type_ == KvType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  }
  int64_t bytes() const { return type_ == KvType::kInt8 ? 1 : 2; }
  int64_t cell() const { return 4 / bytes(); }
  int64_t padded() const { return (head_dim_ + 15) / 16 * 16; }
  int64_t key_at(int64_t position, int64_t d) const {
    const int64_t slot = position % kPageTokens;
    return ((d / cell() * kPageTokens + slot) * cell() + d % cell()) * bytes();
  }
  int64_t value_at(int64_t position, int64_t d) const {
    const int64_t slot = position % kPageTokens;
    return ((slot / cell() * padded() + d) * cell() + slot % cell()) * bytes();
  }
  uint16_t read(const Pages& pages, int64_t position, int64_t at) const {
    uint16_t element = 0;
    std::memcpy(&element, pages[position / kPageTokens].data() + at, bytes());
    return element;
  }
  void write(Pages& pages, int64_t position, int64_t at, uint16_t element) {
    std::memcpy(pages[position / kPageTokens].data() + at, &element, bytes());
  }
  float& scale(Pages& pages, int64_t position) {
    uint8_t* page = pages[position / kPageTokens].data();
    return reinterpret_cast<float*>(page + kPageTokens * padded())[position % kPageTokens];
  }

  KvType type_;
  int64_t head_dim_;
};

// The sequence every test stores: [700, head_dim] of each.
struct Sequence {
  int64_t head_dim;
  std::vector<float> keys;
  std::vector<float> values;

  explicit Sequence(int64_t dim) : head_dim(dim) {
    Random random(static_cast<uint32_t>(dim));
    keys = random.floats(kLongest * dim, -2.0f, 2.0f);
    values = random.floats(kLongest * dim, -1.0f, 1.0f);
  }
  // A context of `length` positions of which [begin, end) are this sequence's and the rest garbage.
  Context store(const AttentionOps& ops, int64_t length, int64_t begin, int64_t end,
                uint32_t garbage_seed) const {
    Context context(ops.stored, head_dim, length, garbage_seed);
    for (int64_t position = begin; position < end; ++position) {
      ops.store_key_value(keys.data() + position * head_dim, values.data() + position * head_dim,
                          head_dim, position, context.keys[position / kPageTokens].data(),
                          context.values[position / kPageTokens].data());
    }
    return context;
  }
};

struct Row {
  std::vector<float> query;  // scaled by log2(e) / sqrt(head_dim)
  int64_t first;
  int64_t last;
};

Row make_row(int64_t head_dim, int64_t first, int64_t last, Random& random) {
  const float scale = 1.4427f / std::sqrt(static_cast<float>(head_dim));
  return {random.floats(head_dim, -2.0f * scale, 2.0f * scale), first, last};
}

constexpr float kGuard = 4321.0f;
const auto* const kNoMemory = reinterpret_cast<const uint8_t*>(uintptr_t{4096});

// The results of one pass, each with a guard behind it, and scratch of exactly the stated size.
// Borrows the rows.
class Pass final {
 public:
  Pass(Context& context, const std::vector<Row>& rows, int64_t partition_begin)
      : padded_(padded_head_dim(context.head_dim())),
        scratch_bytes_(attention_scratch_bytes(context.head_dim())),
        scratch_(scratch_bytes_ + 128, 0xee),
        outs_(rows.size(), std::vector<float>(padded_ + 16, kGuard)) {
    args_.num_rows = static_cast<int>(rows.size());
    args_.head_dim = context.head_dim();
    args_.partition_begin = partition_begin;
    for (size_t r = 0; r < rows.size(); ++r) {
      args_.query[r] = rows[r].query.data();
      args_.first[r] = rows[r].first;
      args_.last[r] = rows[r].last;
      args_.out[r] = outs_[r].data();
    }
    for (int page = 0; page < kPagesPerPartition; ++page) set_page(context, rows, page);
    // A hint that leads nowhere: reading there would be a fault.
    std::fill(std::begin(args_.next_pages), std::end(args_.next_pages), kNoMemory);
    const auto address = reinterpret_cast<uintptr_t>(scratch_.data());
    args_.scratch = scratch_.data() + (64 - address % 64) % 64;
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  void set_soft_cap(float cap) { args_.soft_cap = cap; }

  const AttentionPass& run(const AttentionOps& ops) {
    ops.pass(args_);
    for (const std::vector<float>& out : outs_) EXPECT_EQ(out[padded_], kGuard);
    EXPECT_EQ(args_.scratch[scratch_bytes_], 0xee) << "scratch was overrun";
    return args_;
  }

 private:
  // A pass goes through the pages from its earliest row's first to its latest row's last; others
  // are absent, and reading one is a fault.
  void set_page(Context& context, const std::vector<Row>& rows, int page) {
    const int64_t begin = args_.partition_begin + page * kPageTokens;
    int64_t first = rows[0].first;
    int64_t last = rows[0].last;
    for (const Row& row : rows) {
      first = std::min(first, row.first);
      last = std::max(last, row.last);
    }
    const bool read = first < begin + kPageTokens && last >= begin;
    args_.key_pages[page] = read ? context.keys[begin / kPageTokens].data() : nullptr;
    args_.value_pages[page] = read ? context.values[begin / kPageTokens].data() : nullptr;
  }

  int64_t padded_;
  int64_t scratch_bytes_;
  std::vector<uint8_t> scratch_;
  std::vector<std::vector<float>> outs_;
  AttentionPass args_;
};

// The whole attention of some rows: passes over ascending partitions, merged and finished.
std::vector<std::vector<float>> attend(const AttentionOps& ops, Context& context,
                                       const std::vector<Row>& rows, float soft_cap = 0.0f) {
  const int64_t head_dim = context.head_dim();
  const int64_t padded = padded_head_dim(head_dim);
  std::vector<AttentionState> states(rows.size(), {-kInfinity, 0.0f});
  std::vector<std::vector<float>> out(rows.size(), std::vector<float>(padded, kNaN));
  int64_t end = 0;
  for (const Row& row : rows) end = std::max(end, row.last + 1);
  for (int64_t begin = 0; begin < end; begin += kPartitionTokens) {
    Pass pass(context, rows, begin);
    pass.set_soft_cap(soft_cap);
    const AttentionPass& result = pass.run(ops);
    for (size_t r = 0; r < rows.size(); ++r) {
      ops.merge(states[r], out[r].data(), result.maximum[r], result.sum[r], result.out[r],
                head_dim);
    }
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    ops.finish(states[r], out[r].data(), head_dim);
    out[r].resize(head_dim);
  }
  return out;
}

// The softmax in double over what is stored. With bf16 dot products queries and each partition's
// weights are rounded to bf16.
class SoftmaxReference final {
 public:
  SoftmaxReference(Context& context, bool rounds_to_bf16, double soft_cap)
      : context_(context), rounds_to_bf16_(rounds_to_bf16), soft_cap_(soft_cap) {}

  std::vector<double> attend(const Row& row) const {
    std::vector<double> out(context_.head_dim(), 0.0);
    double sum = 0.0;
    const std::vector<double> scores = scores_of(row);
    const double top = *std::max_element(scores.begin(), scores.end());
    for (int64_t p = row.first; p <= row.last; ++p) {
      const double weight =
          weight_of(scores, row.first, p) * std::exp2(maximum_of(scores, row.first, p) - top);
      sum += weight;
      for (size_t d = 0; d < out.size(); ++d) {
        out[d] += weight * context_.value_number(p, static_cast<int64_t>(d));
      }
    }
    for (double& value : out) value /= sum;
    return out;
  }

 private:
  double rounded(float value) const {
    return rounds_to_bf16_ ? bf16_to_f32(f32_to_bf16(value)) : value;
  }

  std::vector<double> scores_of(const Row& row) const {
    std::vector<double> scores;
    for (int64_t p = row.first; p <= row.last; ++p) {
      double score = 0.0;
      for (int64_t d = 0; d < context_.head_dim(); ++d) {
        score += rounded(row.query[d]) * context_.key_number(p, d);
      }
      scores.push_back(soft_cap_ > 0.0 ? soft_cap_ * std::tanh(score / soft_cap_) : score);
    }
    return scores;
  }
  // The largest score of the row in the partition of p.
  static double maximum_of(const std::vector<double>& scores, int64_t first, int64_t p) {
    const int64_t begin = std::max(first, p / kPartitionTokens * kPartitionTokens) - first;
    const int64_t end = std::min<int64_t>(static_cast<int64_t>(scores.size()),
                                          (p / kPartitionTokens + 1) * kPartitionTokens - first);
    return *std::max_element(scores.begin() + begin, scores.begin() + end);
  }
  double weight_of(const std::vector<double>& scores, int64_t first, int64_t p) const {
    return rounded(static_cast<float>(std::exp2(scores[p - first] - maximum_of(scores, first, p))));
  }

  Context& context_;
  bool rounds_to_bf16_;
  double soft_cap_;
};

struct AttentionVariant {
  Isa isa;
  KvType type;
};

std::vector<AttentionVariant> attention_variants() {
  std::vector<AttentionVariant> variants;
  for (const Isa isa : available_isas()) {
    for (const KvType type : kKvTypes) variants.push_back({isa, type});
  }
  return variants;
}

class Attention : public testing::TestWithParam<AttentionVariant> {
 protected:
  KvType type() const { return GetParam().type; }
  const AttentionOps& ops() const { return kernel_table(GetParam().isa).attention(type()); }
  bool rounds_to_bf16() const {
    return type() == KvType::kBF16 && kernel_table(GetParam().isa).bf16_products;
  }
  bool takes_digits() const {
    return type() == KvType::kInt8 && GetParam().isa >= Isa::kAvx512Vnni;
  }
  // A number as the 16-bit types store it.
  uint16_t to_stored(float value) const {
    return type() == KvType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
  }
  float from_stored(uint16_t value) const {
    return type() == KvType::kBF16 ? bf16_to_f32(value) : f16_to_f32(value);
  }

  // Holds rows that end, or begin, at different places to the reference.
  void expect_softmax(const Sequence& sequence, int64_t length, float soft_cap) const;

  // Writes a position as attention.h says it is stored.
  void store_plainly(const float* key, const float* value, int64_t position,
                     Context& context) const {
    const float largest_key = largest_of(key, context.head_dim());
    const float largest_value = largest_of(value, context.head_dim());
    for (int64_t d = 0; d < context.head_dim(); ++d) {
      if (type() == KvType::kInt8) {
        context.set_key(position, d, static_cast<uint16_t>(integer(key[d], largest_key) + 128));
        context.set_value(position, d, static_cast<uint8_t>(integer(value[d], largest_value)));
      } else {
        context.set_key(position, d, to_stored(key[d]));
        context.set_value(position, d, to_stored(value[d]));
      }
    }
    if (type() != KvType::kInt8) return;
    context.key_scale(position) = largest_key / 127.0f;
    context.value_scale(position) = largest_value / 127.0f;
    // What fills a key up to 16 dimensions is an integer too.
    for (int64_t d = context.head_dim(); d % 16 != 0; ++d) context.set_key(position, d, 128);
  }

 private:
  static float largest_of(const float* row, int64_t count) {
    float largest = 0.0f;
    for (int64_t d = 0; d < count; ++d) largest = std::max(largest, std::fabs(row[d]));
    return largest;
  }
  static int integer(float value, float largest) {
    return static_cast<int>(std::nearbyint(value * (127.0f / largest)));
  }
};

INSTANTIATE_TEST_SUITE_P(Variants, Attention, testing::ValuesIn(attention_variants()),
                         [](const auto& info) {
                           return std::string(isa_name(info.param.isa)) + "_" +
                                  std::string(kv_type_name(info.param.type));
                         });

TEST_P(Attention, StoresAPositionWhereTheLayoutSaysAndNothingElse) {
  for (const int64_t head_dim : kHeadDims) {
    const Sequence sequence(head_dim);
    for (int64_t position = 0; position < kPageTokens * 2; ++position) {
      Context context = sequence.store(ops(), kPageTokens * 2, position, position + 1, 1);
      Context expected(type(), head_dim, kPageTokens * 2, 1);
      store_plainly(sequence.keys.data() + position * head_dim,
                    sequence.values.data() + position * head_dim, position, expected);
      ASSERT_EQ(context.keys, expected.keys) << "head_dim " << head_dim << " at " << position;
      ASSERT_EQ(context.values, expected.values) << "head_dim " << head_dim << " at " << position;
    }
  }
}

TEST_P(Attention, StoresWhatF16CannotHoldAsFinite) {
  const std::vector<float> numbers = {kInfinity, -kInfinity, kNaN,     1e30f,     -1e30f, 65504.0f,
                                      65520.0f,  -65520.0f,  65519.9f, -65504.0f, 1e-30f, 0x1p-24f,
                                      0x1p-25f,  -0.0f,      3.14159f, -kNaN};
  constexpr int64_t kHeadDim = 16;
  Context context(type(), kHeadDim, kPageTokens, /*garbage_seed=*/1);
  ops().store_key_value(numbers.data(), numbers.data(), kHeadDim, /*position=*/5,
                        context.keys[0].data(), context.values[0].data());
  for (int64_t d = 0; d < kHeadDim; ++d) {
    const float key = context.key_number(5, d);
    const float value = context.value_number(5, d);
    ASSERT_TRUE(std::isfinite(key)) << numbers[d];
    ASSERT_TRUE(std::isfinite(value)) << numbers[d];
    if (std::isnan(numbers[d])) continue;
    const float clipped = std::clamp(numbers[d], -65504.0f, 65504.0f);
    if (type() == KvType::kInt8) {
      ASSERT_NEAR(key, clipped, 65504.0f / 253.0f) << numbers[d];
      ASSERT_EQ(value, key) << numbers[d];
      continue;
    }
    const float expected = from_stored(to_stored(clipped));
    ASSERT_TRUE(same_bits(key, expected)) << numbers[d];
    ASSERT_TRUE(same_bits(value, expected)) << numbers[d];
  }
  Random random(1);
  const auto out = attend(ops(), context, {make_row(kHeadDim, 0, 31, random)});
  for (const float value : out[0]) ASSERT_TRUE(std::isfinite(value));
}

// Keys and values far below what a scale can hold count as zero.
TEST_P(Attention, StoresTheSmallestNumbers) {
  constexpr int64_t kHeadDim = 16;
  for (const float number : {0.0f, 0x1p-149f, 0x1p-126f, 0x1p-119f, 1e-5f}) {
    const std::vector<float> row(kHeadDim, number);
    Context context(type(), kHeadDim, kPageTokens, /*garbage_seed=*/1);
    ops().store_key_value(row.data(), row.data(), kHeadDim, /*position=*/7, context.keys[0].data(),
                          context.values[0].data());
    for (int64_t d = 0; d < kHeadDim; ++d) {
      const double allowed = type() == KvType::kF16 ? 0x1p-25 : number * 0x1p-8 + 0x1p-119;
      ASSERT_NEAR(context.key_number(7, d), number, allowed);
      ASSERT_NEAR(context.value_number(7, d), number, allowed);
    }
    Random random(2);
    const auto out = attend(ops(), context, {make_row(kHeadDim, 7, 7, random)});
    for (const float value : out[0]) ASSERT_NEAR(value, number, number * 0x1p-7 + 0x1p-24);
  }
}

TEST_P(Attention, CopiesASlotAndNothingElse) {
  for (const int64_t head_dim : kHeadDims) {
    for (const auto& [from, to] : {std::pair(0, 31), {7, 6}, {6, 7}, {9, 3}, {31, 0}, {12, 12}}) {
      Context source(type(), head_dim, kPageTokens, /*garbage_seed=*/1);
      Context target(type(), head_dim, kPageTokens, /*garbage_seed=*/2);
      Context expected = target;
      for (int64_t d = 0; d < head_dim; ++d) {
        expected.set_key(to, d, source.key(from, d));
        expected.set_value(to, d, source.value(from, d));
      }
      if (type() == KvType::kInt8) {
        expected.key_scale(to) = source.key_scale(from);
        expected.value_scale(to) = source.value_scale(from);
      }
      copy_page_slot(type(), source.keys[0].data(), source.values[0].data(), from,
                     target.keys[0].data(), target.values[0].data(), to, head_dim);
      ASSERT_EQ(target.keys, expected.keys);
      ASSERT_EQ(target.values, expected.values);
    }
  }
}

// Rows of one sequence that end, or begin, at different places.
std::vector<Row> rows_of_length(int64_t head_dim, int64_t length, Random& random) {
  const int64_t last = length - 1;
  std::vector<Row> rows;
  rows.push_back(make_row(head_dim, 0, last, random));
  rows.push_back(make_row(head_dim, 0, std::max<int64_t>(0, last - 1), random));
  rows.push_back(make_row(head_dim, last, last, random));
  rows.push_back(make_row(head_dim, last / 2, last, random));
  rows.push_back(make_row(head_dim, std::max<int64_t>(0, last - 40), last, random));
  rows.push_back(make_row(head_dim, last / 3, last / 2, random));
  rows.push_back(make_row(head_dim, 0, 0, random));
  return rows;
}

void Attention::expect_softmax(const Sequence& sequence, int64_t length, float soft_cap) const {
  // f32: the rounding of scores of size 10, in sums of up to 128. bf16: its reference rounds alike,
  // so what is left is the rare weight that a score's last bit rounds the other way. Digits: a
  // query's 2^-15 of its largest element, over up to 128 elements, and a weight's 2^-16 of the
  // largest.
  const double tolerance = rounds_to_bf16() ? 0x1p-12 : takes_digits() ? 0x1p-13 : 4e-6;
  const int64_t head_dim = sequence.head_dim;
  SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << " length " << length);
  Random random(static_cast<uint32_t>(length));
  Context context = sequence.store(ops(), length, 0, length, /*garbage_seed=*/9);
  const std::vector<Row> rows = rows_of_length(head_dim, length, random);
  const std::vector<std::vector<float>> out = attend(ops(), context, rows, soft_cap);
  const SoftmaxReference reference(context, rounds_to_bf16(), soft_cap);
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::vector<double> expected = reference.attend(rows[r]);
    for (int64_t d = 0; d < head_dim; ++d) {
      ASSERT_NEAR(out[r][d], expected[d], tolerance) << "row " << r << " dimension " << d;
    }
  }
}

TEST_P(Attention, IsASoftmaxOverTheStoredKeysOfEachRow) {
  for (const int64_t head_dim : kHeadDims) {
    const Sequence sequence(head_dim);
    for (const int64_t length : kLengths) expect_softmax(sequence, length, /*soft_cap=*/0.0f);
  }
}

TEST_P(Attention, IsASoftmaxOfSoftCappedScores) {
  for (const int64_t head_dim : {16, 80}) {
    const Sequence sequence(head_dim);
    for (const int64_t length : {1, 33, 256, 289, 600}) expect_softmax(sequence, length, 1.5f);
  }
}

// The largest elements of one sign: integer sums at their limits.
TEST_P(Attention, HoldsTheSumsOfTheLargestElements) {
  constexpr int64_t kHeadDim = 256;
  for (const float sign : {1.0f, -1.0f}) {
    Context context(type(), kHeadDim, kPartitionTokens, /*garbage_seed=*/1);
    const std::vector<float> key(kHeadDim, sign * 65504.0f);
    const std::vector<float> value(kHeadDim, sign * 3.0f);
    for (int64_t p = 0; p < kPartitionTokens; ++p) {
      ops().store_key_value(key.data(), value.data(), kHeadDim, p,
                            context.keys[p / kPageTokens].data(),
                            context.values[p / kPageTokens].data());
    }
    const std::vector<Row> rows(5, {std::vector<float>(kHeadDim, 0.5f), 0, kPartitionTokens - 1});
    Pass pass(context, rows, /*partition_begin=*/0);
    const AttentionPass& result = pass.run(ops());
    for (size_t r = 0; r < rows.size(); ++r) {
      const double score = 0.5 * kHeadDim * context.key_number(0, 0);
      EXPECT_NEAR(result.maximum[r], score, std::fabs(score) * 1e-5);
      EXPECT_EQ(result.sum[r], kPartitionTokens);
      for (int64_t d = 0; d < kHeadDim; ++d) {
        ASSERT_NEAR(result.out[r][d], sign * 3.0 * kPartitionTokens, 3.0 * kPartitionTokens * 1e-5);
      }
    }
  }
}

// Rows that begin and end anywhere: plain, windowed, short, within one page or over all.
std::vector<Row> mixed_rows(int64_t head_dim, Random& random) {
  std::vector<Row> rows;
  for (int r = 0; r < kMaxQueryRows; ++r) {
    const int last = random.integer(0, kLongest - 1);
    const int first = r % 2 == 0 ? 0 : random.integer(std::max(0, last - 300), last);
    rows.push_back(make_row(head_dim, first, last, random));
  }
  rows[3] = make_row(head_dim, 255, 256, random);
  rows[4] = make_row(head_dim, 0, 255, random);
  rows[5] = make_row(head_dim, 256, 511, random);
  rows[6] = make_row(head_dim, kLongest - 1, kLongest - 1, random);
  return rows;
}

// Each row alone, over pages in which only its own positions are the sequence's.
std::vector<std::vector<float>> attend_alone(const AttentionOps& ops, const Sequence& sequence,
                                             const std::vector<Row>& rows, float soft_cap) {
  std::vector<std::vector<float>> out;
  for (size_t r = 0; r < rows.size(); ++r) {
    Context context = sequence.store(ops, rows[r].last + 1, rows[r].first, rows[r].last + 1,
                                     static_cast<uint32_t>(r + 100));
    out.push_back(attend(ops, context, {rows[r]}, soft_cap)[0]);
  }
  return out;
}

TEST_P(Attention, GivesARowTheSameBitsAloneAndInAnyCompany) {
  for (const int64_t head_dim : kHeadDims) {
    const Sequence sequence(head_dim);
    Random random(17);
    const std::vector<Row> rows = mixed_rows(head_dim, random);
    const float soft_cap = head_dim == 80 ? 1.5f : 0.0f;
    const std::vector<std::vector<float>> alone = attend_alone(ops(), sequence, rows, soft_cap);
    Context context = sequence.store(ops(), kLongest, 0, kLongest, /*garbage_seed=*/3);
    for (int num_rows = 1; num_rows <= kMaxQueryRows; ++num_rows) {
      // From the end, so that a row's place in the pass changes with the number.
      const std::vector<Row> company(rows.end() - num_rows, rows.end());
      const std::vector<std::vector<float>> out = attend(ops(), context, company, soft_cap);
      for (int r = 0; r < num_rows; ++r) {
        ASSERT_TRUE(same_bits(out[r].data(), alone[rows.size() - num_rows + r].data(), head_dim))
            << "head_dim " << head_dim << " row " << r << " of " << num_rows;
      }
    }
  }
}

TEST_P(Attention, KeepsARowsNaNToItself) {
  constexpr int64_t kHeadDim = 64;
  const Sequence sequence(kHeadDim);
  Random random(18);
  std::vector<Row> rows = mixed_rows(kHeadDim, random);
  Context context = sequence.store(ops(), kLongest, 0, kLongest, /*garbage_seed=*/3);
  const std::vector<std::vector<float>> expected = attend(ops(), context, rows);
  for (const size_t poisoned : {0, 11, 23}) {
    std::vector<Row> with_nan = rows;
    std::fill(with_nan[poisoned].query.begin(), with_nan[poisoned].query.end(), kNaN);
    const std::vector<std::vector<float>> out = attend(ops(), context, with_nan);
    for (size_t r = 0; r < rows.size(); ++r) {
      if (r == poisoned) continue;
      ASSERT_TRUE(same_bits(out[r].data(), expected[r].data(), kHeadDim)) << r;
    }
  }
}

TEST_P(Attention, ReportsMaximumAndSumOfAPartition) {
  constexpr int64_t kHeadDim = 64;
  const Sequence sequence(kHeadDim);
  Context context = sequence.store(ops(), 600, 0, 600, /*garbage_seed=*/3);
  Random random(19);
  const std::vector<Row> rows = {make_row(kHeadDim, 300, 300, random),  // one key
                                 make_row(kHeadDim, 0, 255, random),    // all before
                                 make_row(kHeadDim, 512, 599, random),  // all after
                                 make_row(kHeadDim, 290, 330, random)};
  Pass pass(context, rows, /*partition_begin=*/256);
  const AttentionPass& result = pass.run(ops());
  double score = 0.0;
  for (int64_t d = 0; d < kHeadDim; ++d) {
    score += double{rows[0].query[d]} * sequence.keys[300 * kHeadDim + d];
  }
  EXPECT_NEAR(result.maximum[0], score, type() == KvType::kF16 ? 1e-2 : 0.1);
  EXPECT_EQ(result.sum[0], 1.0f);
  for (const int empty : {1, 2}) {
    EXPECT_EQ(result.maximum[empty], -kInfinity);
    EXPECT_EQ(result.sum[empty], 0.0f);
  }
  EXPECT_GE(result.sum[3], 1.0f);
  EXPECT_LE(result.sum[3], 41.0f);
}

TEST_P(Attention, BendsScoresTowardsTheSoftCap) {
  constexpr int64_t kHeadDim = 64;
  const Sequence sequence(kHeadDim);
  Context context = sequence.store(ops(), 600, 0, 600, /*garbage_seed=*/3);
  Random random(23);
  std::vector<Row> rows;
  for (int64_t p = 256; p < 256 + kMaxQueryRows; ++p) {  // one key each: its maximum is its score
    rows.push_back(make_row(kHeadDim, p, p, random));
  }
  Pass plain(context, rows, /*partition_begin=*/256);
  const AttentionPass scores = plain.run(ops());
  for (const float cap : {1.0f, 4.0f, 72.0f}) {
    Pass capped(context, rows, /*partition_begin=*/256);
    capped.set_soft_cap(cap);
    const AttentionPass& result = capped.run(ops());
    for (size_t r = 0; r < rows.size(); ++r) {
      const double expected = cap * std::tanh(double{scores.maximum[r]} / cap);
      ASSERT_NEAR(result.maximum[r], expected, cap * 0x1p-21) << r;
      ASSERT_EQ(result.sum[r], 1.0f);
    }
  }
}

TEST_P(Attention, ReadsNoPageOfAPartitionThatIsEmptyForAll) {
  constexpr int64_t kHeadDim = 16;
  Random random(20);
  Context context(type(), kHeadDim, kLongest, /*garbage_seed=*/1);
  for (const auto& [first, last] : {std::pair(0, 255), {250, 255}, {100, 230}, {512, 600}}) {
    const std::vector<Row> rows = {make_row(kHeadDim, first, last, random)};
    Pass pass(context, rows, /*partition_begin=*/256);
    const AttentionPass& result = pass.run(ops());
    EXPECT_EQ(result.maximum[0], -kInfinity);
    EXPECT_EQ(result.sum[0], 0.0f);
  }
}

// The sum of two partitions' (maximum, sum, out) in double, out not yet divided.
void expect_merged(const AttentionState& a, const std::vector<float>& out_a,
                   const AttentionState& b, const std::vector<float>& out_b,
                   const AttentionState& merged, const std::vector<float>& out) {
  const double top = std::max(a.maximum, b.maximum);
  const double factor_a = std::exp2(a.maximum - top);
  const double factor_b = std::exp2(b.maximum - top);
  ASSERT_EQ(merged.maximum, static_cast<float>(top));
  const double sum = a.sum * factor_a + b.sum * factor_b;
  ASSERT_NEAR(merged.sum, sum, sum * 1e-6);
  for (size_t d = 0; d < out.size(); ++d) {
    const double magnitude = std::fabs(out_a[d]) * factor_a + std::fabs(out_b[d]) * factor_b;
    ASSERT_NEAR(out[d], out_a[d] * factor_a + out_b[d] * factor_b, magnitude * 1e-6 + 1e-37);
  }
}

TEST_P(Attention, MergesPartitionsByTheirMaxima) {
  Random random(21);
  for (const int64_t head_dim : kHeadDims) {
    const int64_t padded = padded_head_dim(head_dim);
    for (const float distance : {0.0f, 0.3f, -0.7f, 5.5f, -31.25f, 126.0f, -300.0f, 300.0f}) {
      const AttentionState first = {random.uniform(-4.0f, 4.0f), random.uniform(1.0f, 256.0f)};
      const AttentionState second = {first.maximum + distance, random.uniform(1.0f, 256.0f)};
      const std::vector<float> out_first = random.floats(padded, -90.0f, 90.0f);
      const std::vector<float> out_second = random.floats(padded, -90.0f, 90.0f);
      AttentionState state = first;
      std::vector<float> out = out_first;
      ops().merge(state, out.data(), second.maximum, second.sum, out_second.data(), head_dim);
      expect_merged(first, out_first, second, out_second, state, out);

      std::vector<float> finished = out;
      ops().finish(state, finished.data(), head_dim);
      for (int64_t d = 0; d < padded; ++d) ASSERT_EQ(finished[d], out[d] / state.sum);
    }
  }
}

TEST_P(Attention, MergesEmptyPartitionsWithoutATrace) {
  constexpr int64_t kHeadDim = 80;
  Random random(22);
  const std::vector<float> partial = random.floats(kHeadDim, -9.0f, 9.0f);
  const std::vector<float> unread(kHeadDim, kNaN);
  AttentionState state = {-kInfinity, 0.0f};
  std::vector<float> out(kHeadDim, kNaN);
  ops().merge(state, out.data(), -kInfinity, 0.0f, unread.data(), kHeadDim);
  EXPECT_EQ(state.sum, 0.0f);
  ops().merge(state, out.data(), 2.5f, 17.0f, partial.data(), kHeadDim);
  ops().merge(state, out.data(), -kInfinity, 0.0f, unread.data(), kHeadDim);
  EXPECT_EQ(state.maximum, 2.5f);
  EXPECT_EQ(state.sum, 17.0f);
  EXPECT_TRUE(same_bits(out.data(), partial.data(), kHeadDim));
}

TEST(KvTypes, HaveNamesAndNoOthers) {
  for (const KvType type : kKvTypes) EXPECT_EQ(*parse_kv_type(kv_type_name(type)), type);
  for (const char* name : {"", "F16", "q4_0", "int8 "}) {
    const Result<KvType> parsed = parse_kv_type(name);
    ASSERT_FALSE(parsed.ok()) << name;
    EXPECT_EQ(parsed.error().message, "the type of keys and values is " + std::string(name) +
                                          "; it must be f16, bf16 or int8");
  }
}

}  // namespace
}  // namespace forerun
