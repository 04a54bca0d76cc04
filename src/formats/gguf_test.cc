#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/gguf_writer.h"

namespace forerun {
namespace {

using Bytes = std::vector<uint8_t>;

// Builds files byte by byte, so that every field can be wrong.
class RawFile final {
 public:
  RawFile(uint32_t version, uint64_t num_tensors, uint64_t num_entries) {
    put(kGgufMagic).put(version).put(num_tensors).put(num_entries);
  }

  template <typename T>
  RawFile& put(T value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    std::memcpy(bytes_.data() + bytes_.size() - sizeof(T), &value, sizeof(T));
    return *this;
  }

  RawFile& text(std::string_view text) {
    put<uint64_t>(text.size());
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }

  RawFile& entry(std::string_view key, GgufValueType type) {
    return text(key).put(static_cast<uint32_t>(type));
  }

  RawFile& tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
                  uint64_t offset) {
    text(name).put(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) put(dim);
    return put(type).put(offset);
  }

  RawFile& data(size_t size_bytes, size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment + size_bytes);
    return *this;
  }

  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

std::string error_of(const Bytes& bytes) {
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  return gguf.ok() ? "" : gguf.error().message;
}

void expect_error(const RawFile& file, const std::string& message) {
  EXPECT_EQ(error_of(file.bytes()), "x.gguf: " + message);
}

GgufWriter example(uint32_t version = 3) {
  GgufWriter writer(version);
  writer.add_string("general.architecture", "llama");
  writer.add_u32("llama.block_count", 30);
  writer.add_i32("signed", -7);
  writer.add_u64("large", uint64_t{1} << 63);
  writer.add_f32("epsilon", 1e-5f);
  writer.add_bool("flag", true);
  writer.add_strings("tokens", std::vector<std::string>{"<s>", "", "größe"});
  writer.add_i32s("types", std::vector<int32_t>{3, -1, 6});
  writer.add_f32s("scores", std::vector<float>{0.5f, -2.0f});
  writer.add_f32_tensor("norm", {4}, std::vector<float>{1, 2, 3, 4});
  writer.add_tensor("blk.0.w", DType::kQ4_1, {3, 64}, Bytes(3 * 2 * 20, 0x5a));
  writer.add_tensor("blk.0.v", DType::kQ8_0, {1, 2, 32}, Bytes(2 * 34, 1));
  return writer;
}

class GgufVersions : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(, GgufVersions, testing::Values(2, 3));

TEST_P(GgufVersions, ReadsEverything) {
  const Bytes bytes = example(GetParam()).encode();
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(gguf->version(), GetParam());
  EXPECT_EQ(*gguf->get_string("general.architecture"), "llama");
  EXPECT_EQ(*gguf->get_u64("llama.block_count"), 30u);
  EXPECT_EQ(*gguf->get_u64("large"), uint64_t{1} << 63);
  EXPECT_FLOAT_EQ(*gguf->get_f64("epsilon"), 1e-5f);
  EXPECT_EQ(*gguf->get_f64("signed"), -7.0);
  EXPECT_TRUE(*gguf->get_bool("flag"));
  EXPECT_EQ(*gguf->get_strings("tokens"), (std::vector<std::string_view>{"<s>", "", "größe"}));
  EXPECT_EQ(*gguf->get_i32s("types"), (std::vector<int32_t>{3, -1, 6}));
  EXPECT_EQ(*gguf->get_f32s("scores"), (std::vector<float>{0.5f, -2.0f}));
  ASSERT_EQ(gguf->tensors().size(), 3u);
  EXPECT_EQ(gguf->tensors()[1].name, "blk.0.w");
  const TensorView* w = gguf->find_tensor("blk.0.w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->dtype, DType::kQ4_1);
  EXPECT_EQ(w->shape, (std::vector<int64_t>{3, 64}));
  EXPECT_EQ(w->data[0], 0x5a);
  EXPECT_EQ(w->data[w->num_bytes() - 1], 0x5a);
  EXPECT_EQ(gguf->get_tensor("blk.0.v")->shape, (std::vector<int64_t>{1, 2, 32}));
}

TEST(Gguf, NamesTheKeyThatIsMissingOrOfAnotherType) {
  const Bytes bytes = example().encode();
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  ASSERT_TRUE(gguf.ok());
  EXPECT_EQ(gguf->get_u64("absent").error().message,
            "x.gguf: metadata key 'absent' is missing; fetch or convert the file again");
  EXPECT_EQ(gguf->get_u64("signed").error().message,
            "x.gguf: metadata key 'signed' is -7; it must not be negative");
  EXPECT_EQ(gguf->find("large")->to_i64().error().message,
            "is 9223372036854775808; the limit is 9223372036854775807");
  EXPECT_EQ(gguf->get_u64("epsilon").error().message,
            "x.gguf: metadata key 'epsilon' is f32; an unsigned integer is expected");
  EXPECT_EQ(gguf->get_f64("flag").error().message,
            "x.gguf: metadata key 'flag' is bool; a number is expected");
  EXPECT_EQ(gguf->get_bool("signed").error().message,
            "x.gguf: metadata key 'signed' is i32; a bool is expected");
  EXPECT_EQ(gguf->get_string("tokens").error().message,
            "x.gguf: metadata key 'tokens' is array of 3 string; a string is expected");
  EXPECT_EQ(gguf->get_strings("types").error().message,
            "x.gguf: metadata key 'types' is array of 3 i32; an array of strings is expected");
  EXPECT_EQ(gguf->get_i32s("tokens").error().message,
            "x.gguf: metadata key 'tokens' is array of 3 string; an array of integers is expected");
  EXPECT_EQ(gguf->get_i32s("scores").error().message,
            "x.gguf: metadata key 'scores' is array of 2 f32; an array of integers is expected");
  EXPECT_EQ(gguf->get_i32s("flag").error().message,
            "x.gguf: metadata key 'flag' is bool; an array of integers is expected");
  EXPECT_EQ(gguf->get_f32s("tokens").error().message,
            "x.gguf: metadata key 'tokens' is array of 3 string; an array of numbers is expected");
  EXPECT_EQ(gguf->get_f32s("flag").error().message,
            "x.gguf: metadata key 'flag' is bool; an array of numbers is expected");
  EXPECT_EQ(gguf->get_tensor("blk.1.w").error().message,
            "x.gguf: tensor 'blk.1.w' is missing; fetch or convert the file again");
}

TEST(Gguf, DefaultsStandForMissingKeysOnly) {
  const Bytes bytes = example().encode();
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  ASSERT_TRUE(gguf.ok());
  EXPECT_EQ(*gguf->get_u64_or("absent", 5), 5u);
  EXPECT_EQ(*gguf->get_u64_or("llama.block_count", 5), 30u);
  EXPECT_FALSE(gguf->get_u64_or("flag", 5).ok());
  EXPECT_EQ(*gguf->get_f64_or("absent", 0.5), 0.5);
  EXPECT_EQ(*gguf->get_bool_or("absent", true), true);
  EXPECT_EQ(*gguf->get_string_or("absent", "x"), "x");
  EXPECT_FALSE(gguf->get_string_or("flag", "x").ok());
}

TEST(Gguf, IntegersOfOtherWidthsFitOrSaySo) {
  RawFile file(3, 0, 4);
  file.entry("wide", GgufValueType::kArray).put<uint32_t>(11).put<uint64_t>(2);
  file.put<int64_t>(1).put<int64_t>(int64_t{1} << 40);
  file.entry("byte", GgufValueType::kU8).put<uint8_t>(200);
  file.entry("short", GgufValueType::kI16).put<int16_t>(-2);
  file.entry("double", GgufValueType::kF64).put<double>(0.25);
  const Result<Gguf> gguf = Gguf::parse(file.bytes(), "x.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(gguf->get_i32s("wide").error().message,
            "x.gguf: metadata key 'wide' has an element 1 that does not fit in 32 bits");
  EXPECT_EQ(*gguf->find("short")->to_i64(), -2);
  EXPECT_FALSE(gguf->find("double")->to_i64().ok());
  EXPECT_EQ(*gguf->get_u64("byte"), 200u);
  EXPECT_EQ(*gguf->get_f64("short"), -2.0);
  EXPECT_EQ(*gguf->get_f64("double"), 0.25);
  EXPECT_EQ(*gguf->find("wide")->element(1).to_u64(), uint64_t{1} << 40);
}

// Whatever byte a file ends at, the answer is an Error; only the padding after the last tensor may
// be missing.
TEST(Gguf, RefusesAFileCutAnywhere) {
  const Bytes whole = example().encode();
  const Result<Gguf> gguf = Gguf::parse(whole, "x.gguf");
  ASSERT_TRUE(gguf.ok());
  uint64_t end = 0;
  for (const GgufTensor& tensor : gguf->tensors()) {
    end = std::max(end, tensor.offset_bytes + tensor.size_bytes);
  }
  for (size_t size = 0; size < end; ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(Gguf::parse(cut, "x.gguf").ok()) << "cut at byte " << size;
  }
  EXPECT_TRUE(Gguf::parse(Bytes(whole.begin(), whole.begin() + end), "x.gguf").ok());
}

// Any one byte changed: an Error or a file whose every view can be read.
TEST(Gguf, SurvivesEveryChangedByte) {
  const Bytes whole = example().encode();
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      Bytes changed = whole;
      changed[i] = value;
      const Result<Gguf> gguf = Gguf::parse(changed, "x.gguf", GgufTypes::kAny);
      if (!gguf.ok()) continue;
      uint64_t sum = 0;
      for (const GgufTensor& tensor : gguf->tensors()) {
        ASSERT_LE(tensor.offset_bytes + tensor.size_bytes, changed.size());
        if (tensor.view.data != nullptr) sum += tensor.view.data[tensor.view.num_bytes() - 1];
      }
      for (const GgufEntry& entry : gguf->entries()) sum += entry.value.to_strings().ok();
      EXPECT_LE(sum, 255u * 4);
    }
  }
}

TEST(Gguf, RefusesWhatIsNoGguf) {
  EXPECT_EQ(error_of({}), "x.gguf: magic at offset 0 needs 4 bytes, but the file has only 0 left");
  EXPECT_EQ(error_of(Bytes(64, 'x')), "x.gguf: not a GGUF file: it does not start with 'GGUF'");
  expect_error(RawFile(1, 0, 0), "GGUF version is 1; versions 2 and 3 are supported");
  expect_error(RawFile(4, 0, 0), "GGUF version is 4; versions 2 and 3 are supported");
  expect_error(RawFile(3u << 24, 0, 0),
               "the file is big-endian GGUF; convert it to little-endian first");
  const Result<Gguf> missing = Gguf::open("/nonexistent/x.gguf");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("/nonexistent/x.gguf"), std::string::npos);
}

TEST(Gguf, HoldsCountsAgainstTheBytesLeft) {
  expect_error(RawFile(3, 0, UINT64_MAX),
               "metadata count is 18446744073709551615, but the 0 "
               "bytes left hold at most 0");
  expect_error(RawFile(3, uint64_t{1} << 61, 0).data(320),
               "tensor count is 2305843009213693952, but the 328 bytes left hold at most 9");
  expect_error(RawFile(3, 0, 1).put(UINT64_MAX).put<uint64_t>(0),
               "metadata key 0 at offset 32 needs 18446744073709551615 bytes, but the file has "
               "only 8 left");
  expect_error(RawFile(3, 0, 1).entry("k", GgufValueType::kString).put(UINT64_MAX - 7),
               "metadata key 'k' at offset 45 needs 18446744073709551608 bytes, but the file has "
               "only 0 left");
  RawFile array(3, 0, 1);
  array.entry("k", GgufValueType::kArray).put<uint32_t>(10).put((UINT64_MAX >> 3) + 2).data(64);
  EXPECT_NE(error_of(array.bytes()).find("has 2305843009213693953 elements, but the "),
            std::string::npos)
      << error_of(array.bytes());
}

TEST(Gguf, RefusesOddMetadata) {
  expect_error(RawFile(3, 0, 1).text("k").put<uint32_t>(13).put<uint64_t>(0),
               "metadata key 'k' has type 13; types 0 to 12 are known");
  expect_error(RawFile(3, 0, 1).text("k").put<int32_t>(-1).put<uint64_t>(0),
               "metadata key 'k' has type 4294967295; types 0 to 12 are known");
  expect_error(RawFile(3, 0, 1).entry("k", GgufValueType::kArray).put<uint32_t>(9).put<uint64_t>(1),
               "metadata key 'k' is an array of arrays; one level is the limit");
  expect_error(
      RawFile(3, 0, 1).entry("k", GgufValueType::kArray).put<uint32_t>(99).put<uint64_t>(1),
      "metadata key 'k' is an array of type 99; types 0 to 12 are known");
  expect_error(RawFile(3, 0, 1).entry("k", GgufValueType::kBool).put<uint8_t>(2),
               "metadata key 'k' holds a bool of 2; 0 and 1 are the limits");
  RawFile bools(3, 0, 1);
  bools.entry("k", GgufValueType::kArray).put<uint32_t>(7).put<uint64_t>(2).put<uint16_t>(0x0301);
  expect_error(bools, "metadata key 'k' holds a bool of 3; 0 and 1 are the limits");
  expect_error(RawFile(3, 0, 1).entry("", GgufValueType::kU64).put<uint64_t>(0),
               "metadata key 0 is empty");
  expect_error(RawFile(3, 0, 1).entry(std::string(65536, 'k'), GgufValueType::kU8).put<uint8_t>(0),
               "metadata key 0 has 65536 bytes; the limit is 65535");
  RawFile twice(3, 0, 3);
  for (const char* key : {"b", "a", "b"}) twice.entry(key, GgufValueType::kU32).put<uint32_t>(1);
  expect_error(twice, "metadata key 'b' is there twice");
}

TEST(Gguf, RefusesOddAlignments) {
  for (const uint32_t alignment : {0u, 4u, 24u, 33u, 1u << 22}) {
    RawFile file(3, 0, 1);
    file.entry("general.alignment", GgufValueType::kU32).put(alignment);
    expect_error(file, "metadata key 'general.alignment' is " + std::to_string(alignment) +
                           "; a power of two from 8 to 2097152 is expected");
  }
  expect_error(RawFile(3, 0, 1).entry("general.alignment", GgufValueType::kI32).put<int32_t>(-8),
               "metadata key 'general.alignment' is -8; it must not be negative");
  GgufWriter writer;
  writer.set_alignment(64);
  writer.add_f32_tensor("a", {1}, std::vector<float>{1});
  writer.add_f32_tensor("b", {1}, std::vector<float>{2});
  const Bytes bytes = writer.encode();
  const Result<Gguf> gguf = Gguf::parse(bytes, "x.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(gguf->tensors()[1].offset_bytes - gguf->tensors()[0].offset_bytes, 64u);
}

TEST(Gguf, RefusesOddShapes) {
  expect_error(RawFile(3, 1, 0).tensor("w", {}, 0, 0).data(64),
               "tensor 'w' has 0 dimensions; 1 to 4 are supported");
  expect_error(RawFile(3, 1, 0).tensor("w", {1, 1, 1, 1, 1}, 0, 0).data(64),
               "tensor 'w' has 5 dimensions; 1 to 4 are supported");
  expect_error(RawFile(3, 1, 0).tensor("w", {4, 0}, 0, 0).data(64),
               "tensor 'w': dimension 1 is 0; 1 to 2305843009213693951 is possible there");
  expect_error(RawFile(3, 1, 0).tensor("w", {UINT64_MAX}, 0, 0).data(64),
               "tensor 'w': dimension 0 is 18446744073709551615; 1 to 9223372036854775807 is "
               "possible there");
  const uint64_t root = uint64_t{1} << 32;
  expect_error(RawFile(3, 1, 0).tensor("w", {root, root}, 0, 0).data(64),
               "tensor 'w': dimension 1 is 4294967296; 1 to 2147483647 is possible there");
  expect_error(RawFile(3, 1, 0).tensor("w", {root, root / 4}, 0, 0).data(64),
               "tensor 'w' of shape [1073741824, 4294967296] has more bytes than 64 bits can "
               "count");
  expect_error(RawFile(3, 1, 0).tensor("w", {48, 2}, 2, 0).data(64),
               "tensor 'w' has rows of 48 elements; type Q4_0 needs a multiple of 32");
}

TEST(Gguf, RefusesTypesItDoesNotKnow) {
  const std::string supported =
      "F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, BF16 "
      "are supported (quantise the original again to one of them)";
  expect_error(RawFile(3, 1, 0).tensor("w", {256}, 16, 0).data(66),
               "tensor 'w' has type IQ2_XXS; " + supported);
  expect_error(RawFile(3, 1, 0).tensor("w", {256}, 31, 0).data(144),
               "tensor 'w' has type Q4_0_4_4; " + supported);
  expect_error(RawFile(3, 1, 0).tensor("w", {256}, 99, 0).data(144),
               "tensor 'w' has type number 99, which stands for nothing; " + supported);
  expect_error(RawFile(3, 1, 0).tensor("w", {256}, static_cast<uint32_t>(-1), 0).data(144),
               "tensor 'w' has type number 4294967295, which stands for nothing; " + supported);
}

TEST(Gguf, ListsUnsupportedTypesWhenAsked) {
  RawFile file(3, 1, 0);
  file.tensor("w", {256, 2}, 16, 0).data(132);
  const Result<Gguf> gguf = Gguf::parse(file.bytes(), "x.gguf", GgufTypes::kAny);
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(gguf->tensors()[0].type->name, "IQ2_XXS");
  EXPECT_EQ(gguf->tensors()[0].size_bytes, 132u);
  EXPECT_EQ(gguf->tensors()[0].view.data, nullptr);
}

TEST(Gguf, RefusesOddPlaces) {
  expect_error(RawFile(3, 1, 0).tensor("w", {8}, 0, 16).data(64),
               "tensor 'w' has offset 16, which is not a multiple of the alignment 32");
  expect_error(RawFile(3, 1, 0).tensor("w", {8}, 0, 64).data(95),
               "tensor 'w' of shape [8] and type F32 needs 32 bytes at offset 64, but the file's "
               "data section has 95; is the file cut short?");
  expect_error(RawFile(3, 1, 0).tensor("w", {8}, 0, UINT64_MAX - 31).data(64),
               "tensor 'w' of shape [8] and type F32 needs 32 bytes at offset "
               "18446744073709551584, but the file's data section has 64; is the file cut short?");
  expect_error(RawFile(3, 2, 0).tensor("b", {8}, 0, 0).tensor("a", {16}, 0, 0).data(64),
               "tensors 'b' and 'a' overlap at offset 96");
  expect_error(RawFile(3, 2, 0).tensor("b", {8}, 0, 32).tensor("a", {9}, 0, 0).data(64),
               "tensors 'a' and 'b' overlap at offset 128");
  expect_error(RawFile(3, 2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).data(64),
               "tensor 'a' is there twice");
  expect_error(RawFile(3, 1, 0).tensor("", {8}, 0, 0).data(64), "name of tensor 0 is empty");
  expect_error(RawFile(3, 1, 0).tensor(std::string(256, 'n'), {8}, 0, 0).data(64),
               "name of tensor 0 has 256 bytes; the limit is 255");
}

TEST(Gguf, EscapesNamesInErrors) {
  expect_error(RawFile(3, 1, 0).tensor("w\x1b[31m", {8}, 0, 16).data(64),
               "tensor 'w\\x1b[31m' has offset 16, which is not a multiple of the alignment 32");
}

}  // namespace
}  // namespace forerun
