#include "learning_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace forerun {
namespace {

TEST(LearningFolder, IsNamedAfterTheModel) {
  for (const auto& [model, name] : {std::pair("smollm2-135m", "smollm2-135m"),
                                    {"/models/model.gguf", "model"},
                                    {"models/some-model/", "some-model"},
                                    {"org/name", "name"},
                                    {"name.v2", "name.v2"},
                                    {"/models/x/..", "models"}}) {
    EXPECT_EQ(model_name(model), name);
  }
  EXPECT_EQ(model_name("."), std::filesystem::current_path().filename());
  ASSERT_EQ(setenv("FORERUN_HOME", "/kept", /*overwrite=*/1), 0);
  EXPECT_EQ(*learning_folder("/models/model.gguf"), "/kept/learning/model");
}

}  // namespace
}  // namespace forerun
