#include "formats/hub_repository.h"

#include <gtest/gtest.h>

#include "formats/temporary_folder.h"

namespace forerun {
namespace {

// Pulling is tested against a server in tests/e2e/pull_hub_test.py.
TEST(HubRepository, FindsWhatWasPulled) {
  const TemporaryFolder home;
  const auto find = [&](const char* name) {
    return HubRepository(home.path(), *HubName::parse(name)).find().value_or("none");
  };
  const std::string commit(40, 'a');
  const std::string folder = home.path() + "/models/hub/org/m";
  std::filesystem::create_directories(folder + "/refs");
  std::filesystem::create_directories(folder + "/" + commit);
  EXPECT_EQ(find("org/m"), "none");
  home.write("models/hub/org/m/refs/main", commit + "\n");
  EXPECT_EQ(find("org/m"), "none") << "a file of it was pulled, not all";
  home.write("models/hub/org/m/" + commit + "/x.gguf", "x");
  EXPECT_EQ(find("org/m:x.gguf"), folder + "/" + commit + "/x.gguf");
  EXPECT_EQ(find(("org/m:x.gguf@" + commit).c_str()), folder + "/" + commit + "/x.gguf");
  EXPECT_EQ(find("org/m:y.gguf"), "none");
  home.write("models/hub/org/m/" + commit + "/.complete", "");
  EXPECT_EQ(find("org/m"), folder + "/" + commit);
  EXPECT_EQ(find("org/m@v1"), "none");
  home.write("models/hub/org/m/refs/refs%2Fpr%2F1", commit + "\n");
  EXPECT_EQ(find("org/m@refs/pr/1"), folder + "/" + commit);
  home.write("models/hub/org/m/refs/main", "../../../../etc\n");
  EXPECT_EQ(find("org/m"), "none") << "what is there is not trusted either";
}

TEST(HubRepository, WantsAllPartsOfASplitFile) {
  const TemporaryFolder home;
  const HubName name = *HubName::parse("o/m:x-00001-of-00002.gguf@" + std::string(40, 'b'));
  const std::string folder = "models/hub/o/m/" + std::string(40, 'b');
  std::filesystem::create_directories(home.file(folder));
  home.write(folder + "/x-00001-of-00002.gguf", "x");
  EXPECT_FALSE(HubRepository(home.path(), name).find());
  home.write(folder + "/x-00002-of-00002.gguf", "x");
  EXPECT_EQ(HubRepository(home.path(), name).find(), home.file(folder + "/x-00001-of-00002.gguf"));
}

}  // namespace
}  // namespace forerun
