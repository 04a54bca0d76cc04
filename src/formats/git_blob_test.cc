#include "formats/git_blob.h"

#include <gtest/gtest.h>

#include "formats/temporary_folder.h"

namespace forerun {
namespace {

// As `git hash-object` has it.
TEST(GitBlob, IsWhatGitSays) {
  const TemporaryFolder folder;
  EXPECT_EQ(*git_blob_id(folder.write("empty", "")), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(*git_blob_id(folder.write("hello", "hello\n")),
            "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_FALSE(git_blob_id(folder.file("none")).ok());
}

}  // namespace
}  // namespace forerun
