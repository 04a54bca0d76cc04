#include "formats/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace forerun {

Result<WholeFile> WholeFile::create(const std::string& path, Readers readers) {
  WholeFile whole(path);
  int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  mode_t mode = 0666;
  if (readers == Readers::kOwner) {
    // Anew, so that one which is there already does not lend it its readers.
    std::remove(whole.partial_path().c_str());
    flags |= O_EXCL;
    mode = 0600;
  }
  const int descriptor = open(whole.partial_path().c_str(), flags, mode);
  if (descriptor < 0) return whole.failure("create");
  whole.file_.reset(fdopen(descriptor, "wb"));
  return whole;
}

WholeFile::~WholeFile() {
  if (file_ == nullptr) return;
  file_.reset();
  std::remove(partial_path().c_str());
}

void WholeFile::write(std::span<const uint8_t> bytes) {
  if (failed_with_ != 0 || bytes.empty()) return;
  errno = 0;
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size()) return;
  failed_with_ = errno != 0 ? errno : EIO;
}

Status WholeFile::finish() {
  if (std::fclose(file_.release()) != 0 && failed_with_ == 0) failed_with_ = errno;
  errno = failed_with_;
  Status status;
  if (failed_with_ != 0) {
    status = failure("write");
  } else if (std::rename(partial_path().c_str(), path_.c_str()) != 0) {
    status = failure("rename");
  }
  if (!status.ok()) std::remove(partial_path().c_str());
  return status;
}

Error WholeFile::failure(const char* what) const {
  return Error{"cannot " + std::string(what) + " " + partial_path() + ": " + std::strerror(errno)};
}

}  // namespace forerun
