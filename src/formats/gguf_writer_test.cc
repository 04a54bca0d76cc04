#include "formats/gguf_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "formats/gguf.h"

namespace forerun {
namespace {

GgufWriter example() {
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_strings("tokens", std::vector<std::string>{"a", "", "bc"});
  writer.add_f32_tensor("w", {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  writer.add_f32_tensor("b", {1}, std::vector<float>{7});
  return writer;
}

TEST(GgufWriter, WritesAFileThatReadsBack) {
  const std::string path = testing::TempDir() + "writer_test.gguf";
  ASSERT_TRUE(example().write(path).ok());
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  const Result<Gguf> gguf = Gguf::open(path);
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(gguf->size_bytes(), example().encode().size());
  const TensorView* w = gguf->find_tensor("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(reinterpret_cast<const float*>(w->data)[5], 6.0f);
  EXPECT_EQ(reinterpret_cast<const float*>(gguf->find_tensor("b")->data)[0], 7.0f);
  std::filesystem::remove(path);
}

TEST(GgufWriter, CopiesEntriesOfAnotherFile) {
  const std::vector<uint8_t> first = example().encode();
  const Result<Gguf> read = Gguf::parse(first, "first");
  ASSERT_TRUE(read.ok()) << read.error().message;
  GgufWriter copy;
  for (const GgufEntry& entry : read->entries()) copy.add_value(entry.key, entry.value);
  copy.add_f32_tensor("w", {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  copy.add_f32_tensor("b", {1}, std::vector<float>{7});
  EXPECT_EQ(copy.encode(), first);
}

TEST(GgufWriter, SaysThatItCannotWrite) {
  const Status missing = example().write("/nonexistent/folder/x.gguf");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("/nonexistent/folder/x.gguf"), std::string::npos);
  GgufWriter large;  // past stdio's buffer, so that write itself meets the full disk
  large.add_f32_tensor("w", {1 << 16}, std::vector<float>(1 << 16));
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this machine";
  const std::string folder = testing::TempDir() + "writer_full";
  std::filesystem::create_directories(folder);
  std::filesystem::create_symlink("/dev/full", folder + "/x.gguf.partial");
  const Status full = large.write(folder + "/x.gguf");
  ASSERT_FALSE(full.ok());
  EXPECT_NE(full.error().message.find("No space left"), std::string::npos) << full.error().message;
  EXPECT_FALSE(std::filesystem::exists(folder + "/x.gguf"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace forerun
