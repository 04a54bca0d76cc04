#include "formats/model_files.h"

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

TEST(ModelFiles, OpensWhatUsersName) {
  const TemporaryFolder folder;
  GgufWriter gguf_writer;
  gguf_writer.add_f32_tensor("t", {1}, std::vector<float>{1});
  const std::string gguf_path = folder.file("m.gguf");
  ASSERT_TRUE(gguf_writer.write(gguf_path).ok());
  const Result<ModelFiles> gguf = ModelFiles::open(gguf_path);
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_NE(gguf->gguf(), nullptr);
  EXPECT_EQ(gguf->directory(), nullptr);
  EXPECT_EQ(gguf->path(), gguf_path);
  EXPECT_EQ(gguf->size_bytes(), std::filesystem::file_size(gguf_path));
  EXPECT_TRUE(gguf->tensors().get_tensor("t").ok());

  SafetensorsWriter weights;
  weights.add_f32_tensor("u", {1}, std::vector<float>{1});
  const std::string weights_path = folder.file("model.safetensors");
  ASSERT_TRUE(weights.write(weights_path).ok());
  const Result<ModelFiles> directory = ModelFiles::open(folder.path());
  ASSERT_TRUE(directory.ok()) << directory.error().message;
  EXPECT_EQ(directory->gguf(), nullptr);
  EXPECT_NE(directory->directory(), nullptr);
  EXPECT_EQ(directory->path(), folder.path());
  EXPECT_EQ(directory->size_bytes(), std::filesystem::file_size(weights_path));
  EXPECT_TRUE(directory->tensors().get_tensor("u").ok());
}

TEST(ModelFiles, SaysWhatElseToName) {
  const TemporaryFolder folder;
  EXPECT_EQ(ModelFiles::open(folder.file("model.safetensors")).error().message,
            folder.file("model.safetensors") +
                " holds weights only; give the directory that has its config.json too");
  EXPECT_EQ(ModelFiles::open(folder.write("x.bin", "pickled")).error().message,
            folder.file("x.bin") + ": not a GGUF file: it does not start with 'GGUF'");
  EXPECT_FALSE(ModelFiles::open(folder.path()).ok());
  EXPECT_FALSE(ModelFiles::open(folder.file("absent.gguf")).ok());
}

}  // namespace
}  // namespace forerun
