#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/memory.h"

namespace forerun {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const auto failure = [&](const char* what) {
    return Error{"cannot " + std::string(what) + " " + path + ": " + std::strerror(errno)};
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure("open");
  struct stat info{};
  if (fstat(fd, &info) != 0) {
    const Error error = failure("stat");
    ::close(fd);
    return error;
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return Error{path + " is not a regular file"};
  }
  MappedFile file;
  file.path_ = path;
  file.size_bytes_ = static_cast<size_t>(info.st_size);
  if (file.size_bytes_ > 0) {
    void* data = mmap(nullptr, file.size_bytes_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      const Error error = failure("map");
      ::close(fd);
      return error;
    }
    file.data_ = static_cast<const uint8_t*>(data);
  }
  ::close(fd);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept {
  *this = std::move(other);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) unmap(const_cast<uint8_t*>(data_), size_bytes_);
}

void MappedFile::will_read(size_t offset_bytes, size_t size_bytes) const {
  if (data_ == nullptr || size_bytes == 0) return;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = offset_bytes / page * page;
  madvise(const_cast<uint8_t*>(data_) + begin, size_bytes + (offset_bytes - begin), MADV_WILLNEED);
}

}  // namespace forerun
