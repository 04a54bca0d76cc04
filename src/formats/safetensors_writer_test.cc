#include "formats/safetensors_writer.h"

#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  SafetensorsWriter writer;
  writer.add_f32_tensor("größe \"x\"", {2, 1}, std::vector<float>{1.5f, -2.0f});
  writer.add_tensor("h", DType::kBF16, {3}, std::vector<uint8_t>{1, 2, 3, 4, 5, 6});
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  ASSERT_TRUE(writer.write(path).ok());
  const Result<Safetensors> file = Safetensors::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->size_bytes(), writer.encode().size());
  const TensorView* first = file->find_tensor("größe \"x\"");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(reinterpret_cast<const float*>(first->data)[1], -2.0f);
  EXPECT_EQ(file->find("größe \"x\"")->offset_bytes % 8, 0u);
  EXPECT_EQ(file->find_tensor("h")->data[5], 6);
}

TEST(SafetensorsWriter, SaysWhatCannotBeWritten) {
  const SafetensorsWriter writer;
  EXPECT_EQ(writer.write("/nonexistent/x").error().message,
            "cannot create /nonexistent/x.partial: No such file or directory");
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.file("taken/x"));
  const Status status = writer.write(folder.file("taken"));
  EXPECT_EQ(status.error().message,
            "cannot rename " + folder.file("taken.partial") + ": Is a directory");
  EXPECT_FALSE(std::filesystem::exists(folder.file("taken.partial")));
}

}  // namespace
}  // namespace forerun
