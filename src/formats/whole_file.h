#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace forerun {

// A file that appears whole or not at all: it is written beside its path and renamed at the end.
// What is not finished is removed.
class WholeFile final {
 public:
  enum class Readers : uint8_t { kAll, kOwner };
  static Result<WholeFile> create(const std::string& path, Readers readers = Readers::kAll);
  WholeFile(WholeFile&&) = default;
  WholeFile& operator=(WholeFile&&) = delete;
  ~WholeFile();

  // After a failed write, finish() says what failed.
  void write(std::span<const uint8_t> bytes);
  Status finish();

 private:
  explicit WholeFile(std::string path) : path_(std::move(path)) {}
  Error failure(const char* what) const;
  std::string partial_path() const { return path_ + ".partial"; }

  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{nullptr, std::fclose};
  int failed_with_ = 0;  // errno of the first failed write
};

}  // namespace forerun
