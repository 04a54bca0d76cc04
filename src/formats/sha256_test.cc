#include "formats/sha256.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string_view>

namespace forerun {
namespace {

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// From FIPS 180-4's examples.
TEST(Sha256, GivesTheStandardsDigests) {
  EXPECT_EQ(Sha256().finish(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 pieces;
  pieces.add(bytes_of("a"));
  pieces.add(bytes_of("bc"));
  EXPECT_EQ(pieces.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, ReadsFiles) {
  const std::string path = testing::TempDir() + "sha256_test";
  std::ofstream(path) << "abc";
  uint64_t done = 0;
  const Result<std::string> digest = sha256_of_file(path, [&](uint64_t bytes) { done = bytes; });
  ASSERT_TRUE(digest.ok());
  EXPECT_EQ(*digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(done, 3u);
  std::filesystem::remove(path);
  EXPECT_FALSE(sha256_of_file(path).ok());
}

}  // namespace
}  // namespace forerun
