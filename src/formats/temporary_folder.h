#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace forerun {

// A folder of a test's own, removed with everything in it.
class TemporaryFolder final {
 public:
  TemporaryFolder() {
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ = testing::TempDir() + "forerun_" + std::string(test->test_suite_name()) + "_" +
            test->name() + "_" + std::to_string(getpid());
    std::ranges::replace(path_.begin() + static_cast<ptrdiff_t>(testing::TempDir().size()),
                         path_.end(), '/', '_');
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

  std::string write(std::string_view name, std::string_view text) const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }
  std::string write(std::string_view name, std::span<const uint8_t> bytes) const {
    return write(name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  void remove(std::string_view name) const { std::filesystem::remove(file(name)); }

 private:
  std::string path_;
};

}  // namespace forerun
