#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace forerun {

// A file mapped read-only. The bytes stay valid until the object dies; its pages belong to the page
// cache, not to this process's anonymous memory.
class MappedFile final {
 public:
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return {data_, size_bytes_}; }
  const std::string& path() const { return path_; }

  // Tells the kernel that a range will be read soon, in order.
  void will_read(size_t offset_bytes, size_t size_bytes) const;

 private:
  MappedFile() = default;

  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace forerun
