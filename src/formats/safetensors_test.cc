#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>

#include "formats/safetensors_header.h"

namespace forerun {
namespace {

using Bytes = std::vector<uint8_t>;

// A file of `header` and `data_bytes` bytes 0, 1, 2, … behind it.
Bytes make_file(const std::string& header, size_t data_bytes) {
  const auto length = std::bit_cast<std::array<char, 8>>(uint64_t{header.size()});
  std::string file(length.begin(), length.end());
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file.push_back(static_cast<char>(i));
  return Bytes(file.begin(), file.end());
}

// Pads a header so that the data is aligned to 8 bytes, as writers do.
std::string padded(std::string header) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

std::string tensor(const std::string& name, const std::string& type, const std::string& shape,
                   uint64_t begin, uint64_t end) {
  return "\"" + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string error_of(const Bytes& bytes) {
  const Result<Safetensors> file = Safetensors::parse(bytes, "x");
  return file.ok() ? "" : file.error().message;
}

void expect_error(const std::string& header, size_t data_bytes, const std::string& message) {
  EXPECT_EQ(error_of(make_file(header, data_bytes)), "x: " + message);
}

const std::string kExample =
    padded(R"({"__metadata__":{"format":"pt"},)" + tensor("b", "BF16", "[2,3]", 0, 12) + "," +
           tensor("a", "F32", "[1]", 12, 16) + "," + tensor("ids", "I64", "[2]", 16, 32) + "," +
           tensor("half", "F16", "[]", 32, 34) + "," + tensor("none", "F32", "[0,4]", 34, 34) +
           "," + tensor("nibbles", "F4", "[4]", 34, 36) + "}");
constexpr size_t kExampleBytes = 36;

TEST(Safetensors, ReadsEverything) {
  const Bytes bytes = make_file(kExample, kExampleBytes);
  const Result<Safetensors> file = Safetensors::parse(bytes, "x");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->size_bytes(), bytes.size());
  EXPECT_EQ(file->metadata(), (std::vector<std::pair<std::string, std::string>>{{"format", "pt"}}));
  ASSERT_EQ(file->tensors().size(), 6u);
  EXPECT_EQ(file->tensors()[0].name, "a");  // by name
  const TensorView* b = file->find_tensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, DType::kBF16);
  EXPECT_EQ(b->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b->data[11], 11);
  EXPECT_EQ(file->find("b")->offset_bytes, 8 + kExample.size());
  EXPECT_EQ(file->find_tensor("half")->num_elements(), 1);
  EXPECT_EQ(file->get_tensor("none")->num_bytes(), 0);
  EXPECT_EQ(file->find_tensor("c"), nullptr);
  EXPECT_EQ(file->get_tensor("c").error().message,
            "x: tensor 'c' is missing; fetch or convert the file again");
}

TEST(Safetensors, ListsOtherTypesButDoesNotGiveThem) {
  const Bytes bytes = make_file(kExample, kExampleBytes);
  const Result<Safetensors> file = Safetensors::parse(bytes, "x");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->find("ids")->size_bytes, 16u);
  EXPECT_EQ(file->find_tensor("ids")->data, nullptr);
  EXPECT_EQ(file->type_name("nibbles"), "F4");
  EXPECT_EQ(file->type_name("c"), "");
  EXPECT_EQ(file->get_tensor("ids").error().message,
            "x: tensor 'ids' has type I64, which the engine cannot compute with; convert the model "
            "to BF16, F16 or F32");
}

TEST(Safetensors, CopiesWhatIsNotAligned) {
  for (size_t padding = 0; padding < 4; ++padding) {
    const std::string header =
        "{" + tensor("h", "F16", "[3]", 0, 6) + "," + tensor("f", "F32", "[2]", 6, 14) + "," +
        tensor("g", "F32", "[1]", 14, 18) + "," + tensor("end", "F32", "[0]", 18, 18) + "}" +
        std::string(padding, ' ');
    const Bytes bytes = make_file(header, 18);
    const Result<Safetensors> file = Safetensors::parse(bytes, "x");
    ASSERT_TRUE(file.ok()) << file.error().message;
    const std::pair<const char*, int> kTensors[] = {{"h", 0}, {"f", 6}, {"g", 14}};
    for (const auto& [name, first] : kTensors) {
      const TensorView* view = file->find_tensor(name);
      const uint64_t alignment = view->dtype == DType::kF16 ? 2 : 4;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % alignment, 0u) << name;
      for (int64_t i = 0; i < view->num_bytes(); ++i) EXPECT_EQ(view->data[i], first + i) << name;
    }
    EXPECT_NE(file->find_tensor("end")->data, nullptr);
  }
}

TEST(Safetensors, RefusesAFileCutAnywhere) {
  const Bytes whole = make_file(kExample, kExampleBytes);
  ASSERT_EQ(error_of(whole), "");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(error_of(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size))), "")
        << "cut at byte " << size;
  }
}

// Any one byte changed: an Error or a file whose every view can be read.
TEST(Safetensors, SurvivesEveryChangedByte) {
  const Bytes whole = make_file(kExample, kExampleBytes);
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const uint8_t value : {0x00, 0x20, 0x22, 0x30, 0x39, 0x7d, 0x80, 0xff}) {
      Bytes changed = whole;
      changed[i] = value;
      const Result<Safetensors> file = Safetensors::parse(changed, "x");
      if (!file.ok()) continue;
      for (const SafetensorsTensor& tensor : file->tensors()) {
        ASSERT_LE(tensor.offset_bytes + tensor.size_bytes, changed.size());
        if (tensor.view.data == nullptr || tensor.size_bytes == 0) continue;
        ASSERT_EQ(tensor.view.data[tensor.size_bytes - 1],
                  changed[tensor.offset_bytes + tensor.size_bytes - 1]);
      }
    }
  }
}

TEST(Safetensors, RefusesWhatIsNoSafetensors) {
  EXPECT_EQ(error_of({}),
            "x: header length at offset 0 needs 8 bytes, but the file has only 0 left");
  EXPECT_EQ(
      error_of(Bytes(16, 'G')),
      "x: the header's length is 5136152271503443783 bytes; the limit is 100000000 (is this a "
      "safetensors file?)");
  EXPECT_EQ(error_of({9, 0, 0, 0, 0, 0, 0, 0, '{', '}'}),
            "x: header at offset 8 needs 9 bytes, but the file has only 2 left");
  expect_error("", 0, "not a safetensors file: its header does not start with '{'");
  expect_error("[]", 0, "not a safetensors file: its header does not start with '{'");
  EXPECT_EQ(error_of(make_file("{}", 0)), "");
  EXPECT_NE(Safetensors::open("/nonexistent/x.safetensors").error().message.find("/nonexistent/x"),
            std::string::npos);
}

TEST(Safetensors, RefusesHeadersOfAnotherForm) {
  const auto field = [](const std::string& fields) { return R"({"t":{)" + fields + "}}"; };
  expect_error("{", 0, "the header is not valid JSON at byte 2");
  expect_error("{}x", 0, "the header is not valid JSON at byte 3");
  expect_error("{\"\xff\":1}", 0, "the header is not valid JSON at byte 3");
  expect_error(R"({"t":1})", 0, "the header gives 't' as a number; an object is expected");
  expect_error(R"({"t":null})", 0, "the header gives 't' as null; an object is expected");
  expect_error(R"({"t":[]})", 0, "the header gives 't' as an array; an object is expected");
  expect_error(R"({"__metadata__":{"a":{}}})", 0,
               "the header gives metadata 'a' as an object; a string is expected");
  expect_error(R"({"__metadata__":{"a":1}})", 0,
               "the header gives metadata 'a' as a number; a string is expected");
  expect_error(field(""), 0, "the header gives tensor 't' no dtype");
  expect_error(field(R"("dtype":"F32")"), 0, "the header gives tensor 't' no shape");
  expect_error(field(R"("dtype":"F32","shape":[])"), 0,
               "the header gives tensor 't' no data_offsets");
  expect_error(field(R"("dtype":"F32","dtype":"F32")"), 0,
               "the header gives the dtype of tensor 't' twice");
  expect_error(field(R"("stride":[1])"), 0,
               "the header gives tensor 't' a field 'stride', which is not known");
  expect_error(field(R"("dtype":7)"), 0,
               "the header gives the dtype of tensor 't' as a number; a string is expected");
  expect_error(field(R"("dtype":["F32"])"), 0,
               "the header gives the dtype of tensor 't' as an array; a string is expected");
  expect_error(
      field(R"("dtype":"Q4_0")"), 0,
      "the header gives the dtype of tensor 't' as 'Q4_0', which stands for nothing known");
  expect_error(field(R"("shape":"4")"), 0,
               "the header gives the shape of tensor 't' as a string; an array of numbers is "
               "expected");
  expect_error(field(R"("shape":true)"), 0,
               "the header gives the shape of tensor 't' as a bool; an array of numbers is "
               "expected");
  expect_error(field(R"("shape":[[1]])"), 0,
               "the header has an array in the shape of tensor 't'; whole numbers from 0 are "
               "expected");
  expect_error(field(R"("shape":[-1])"), 0,
               "the header has -1 in the shape of tensor 't'; whole numbers from 0 are expected");
  expect_error(
      field(R"("shape":[1.5])"), 0,
      "the header has '1.5' in the shape of tensor 't'; whole numbers from 0 are expected");
  expect_error(field(R"("shape":[1e99])"), 0,
               "the header has '1e99' in the shape of tensor 't'; whole numbers from 0 are "
               "expected");
  expect_error(field(R"("shape":["1"])"), 0,
               "the header has a string in the shape of tensor 't'; whole numbers from 0 are "
               "expected");
  expect_error(field(R"("shape":[1,1,1,1,1,1,1,1,1])"), 0,
               "the header gives the shape of tensor 't' more than 8 numbers");
  expect_error(field(R"("data_offsets":[1])"), 0,
               "the header gives the data_offsets of tensor 't' fewer than 2 numbers");
  expect_error(field(R"("data_offsets":[1,2,3])"), 0,
               "the header gives the data_offsets of tensor 't' more than 2 numbers");
  expect_error("{\"" + std::string(1025, 'n') + "\":{}}", 0,
               "the header has a name of 1025 bytes; the limit is 1024");
  expect_error("{" + std::string(100'000, '['), 0, "the header is not valid JSON at byte 2");
  expect_error(R"({"t":)" + std::string(100'000, '{'), 0, "the header is not valid JSON at byte 7");
}

TEST(Safetensors, RefusesOddShapes) {
  expect_error("{" + tensor("t", "F32", "[4294967296,4294967296]", 0, 0) + "}", 0,
               "tensor 't' has a dimension of 4294967296; together 144115188075855871 elements are "
               "the limit");
  expect_error("{" + tensor("t", "F32", "[18446744073709551615]", 0, 0) + "}", 0,
               "tensor 't' has a dimension of 18446744073709551615; together 144115188075855871 "
               "elements are the limit");
  expect_error("{" + tensor("t", "F32", "[4]", 0, 12) + "}", 12,
               "tensor 't' of shape [4] and type F32 needs 16 bytes, it is given 12");
  expect_error("{" + tensor("t", "F4", "[3]", 0, 1) + "}", 1,
               "tensor 't' of shape [3] and type F4 needs 2 bytes, it is given 1");
}

TEST(Safetensors, RefusesOddPlaces) {
  expect_error("{" + tensor("t", "U8", "[4]", 0, 4) + "}", 3,
               "tensor 't' ends at 4, but the file's data section has 3 bytes; is the file cut "
               "short?");
  expect_error("{" + tensor("t", "U8", "[4]", 8, 4) + "}", 8,
               "tensor 't' begins at 8, after its end at 4");
  expect_error("{" + tensor("t", "U8", "[4]", 0, UINT64_MAX) + "}", 8,
               "tensor 't' ends at 18446744073709551615, but the file's data section has 8 bytes; "
               "is the file cut short?");
  expect_error("{" + tensor("a", "U8", "[4]", 0, 4) + "," + tensor("b", "U8", "[4]", 3, 7) + "}", 7,
               "tensor 'b' begins at 3, inside the tensor before it, which ends at 4");
  expect_error("{" + tensor("a", "U8", "[4]", 0, 4) + "," + tensor("b", "U8", "[4]", 5, 9) + "}", 9,
               "tensor 'b' begins at 5, after a gap: the tensor before it ends at 4");
  expect_error("{" + tensor("t", "U8", "[4]", 0, 4) + "}", 5,
               "the data section has 5 bytes, of which the tensors fill 4");
  expect_error("{" + tensor("t", "U8", "[4]", 0, 4) + "," + tensor("t", "U8", "[4]", 4, 8) + "}", 8,
               "tensor 't' is there twice");
  expect_error("{" + tensor("t\\u001b[31m", "U8", "[4]", 8, 4) + "}", 8,
               "tensor 't\\x1b[31m' begins at 8, after its end at 4");
}

}  // namespace
}  // namespace forerun
