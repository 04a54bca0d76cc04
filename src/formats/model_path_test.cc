#include "formats/model_path.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "formats/hub_cache.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

TEST(ResolveModel, FindsFilesAndPulledModels) {
  const fs::path home = fs::path(testing::TempDir()) / ("model_path_" + std::to_string(getpid()));
  setenv("FORERUN_HOME", home.c_str(), 1);
  EXPECT_EQ(resolve_model("smollm2-135m").error().message,
            "the model smollm2-135m is not here yet; run: forerun pull smollm2-135m");

  const Result<HubModel> model = HubCatalog::builtin().find("smollm2-135m");
  const std::string path = HubCache(home.string()).path_of(*model);
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << "cut";
  EXPECT_FALSE(resolve_model("smollm2-135m").ok()) << "a file of the wrong size is not the model";
  fs::resize_file(path, model->size_bytes());
  EXPECT_EQ(*resolve_model("smollm2-135m"), path);
  EXPECT_EQ(*resolve_model(path), path);
  fs::remove_all(home);
  unsetenv("FORERUN_HOME");
}

TEST(ResolveModel, SaysWhatThereIs) {
  EXPECT_EQ(resolve_model("").error().message, "the model's name is empty");
  EXPECT_EQ(resolve_model("/nonexistent/x").error().message, "there is no file '/nonexistent/x'");
  EXPECT_EQ(resolve_model("x.gguf").error().message, "there is no file 'x.gguf'");
  EXPECT_EQ(resolve_model("../../etc/x").error().message, "there is no file '../../etc/x'");
  EXPECT_NE(resolve_model("smolm2-135m").error().message.find("there are: smollm2-135m"),
            std::string::npos);
}

TEST(ResolveModel, SaysWhichFilesADirectoryHas) {
  const fs::path folder =
      fs::path(testing::TempDir()) / ("model_folder_" + std::to_string(getpid()));
  fs::create_directories(folder);
  const std::string path = folder.string();
  EXPECT_EQ(resolve_model(path).error().message,
            path + " has no weights: neither model.safetensors nor model.safetensors.index.json");
  for (const char* name : {"b.gguf", "a.gguf", "notes.txt"}) std::ofstream(folder / name) << "x";
  EXPECT_EQ(resolve_model(path).error().message,
            "'" + path + "' is a directory; give a .gguf file in it: 'a.gguf', 'b.gguf'");
  EXPECT_EQ(*resolve_model(path + "/a.gguf"), path + "/a.gguf");
  std::ofstream(folder / "model.safetensors") << "x";
  EXPECT_EQ(*resolve_model(path), path) << "as Hugging Face lays a model out";
  fs::remove_all(folder);
}

TEST(HubCache, FindsItsHome) {
  const char* home = std::getenv("HOME");
  const std::string saved = home == nullptr ? "" : home;
  unsetenv("FORERUN_HOME");
  setenv("HOME", "/h", 1);
  const HubModel model{"n", {"p==1"}, {{"b.gguf", {"a/b.gguf"}, "", 1}}};
  EXPECT_EQ(HubCache::from_environment()->path_of(model), "/h/.cache/forerun/models/n/b.gguf");
  setenv("FORERUN_HOME", "/f", 1);
  EXPECT_EQ(HubCache::from_environment()->path_of(model), "/f/models/n/b.gguf");
  unsetenv("FORERUN_HOME");
  unsetenv("HOME");
  EXPECT_FALSE(HubCache::from_environment().ok());
  setenv("HOME", saved.c_str(), 1);
}

}  // namespace
}  // namespace forerun
