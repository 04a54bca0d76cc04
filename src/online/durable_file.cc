#include "online/durable_file.h"

#include <fcntl.h>

#include <cstdio>
#include <filesystem>

#include "online/file_descriptor.h"

namespace forerun {

Status sync_to_disk(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return system_error("open", path);
  if (fsync(file.get()) != 0) return system_error("sync", path);
  return {};
}

Status write_durably(const std::string& path, std::string_view text) {
  const std::string partial = path + ".partial";
  const FileDescriptor file(open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.is_open()) return system_error("create", partial);
  const bool is_written =
      write_all(file, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  if (!is_written || fsync(file.get()) != 0) {
    const Error error = system_error("write", partial);
    std::remove(partial.c_str());
    return error;
  }
  return rename_durably(partial, path);
}

Status rename_durably(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return system_error("rename", from);
  return sync_to_disk(std::filesystem::path(to).parent_path().native());
}

}  // namespace forerun
