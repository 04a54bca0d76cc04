#include "formats/hub_repository.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "formats/hub_choice.h"
#include "formats/hub_download.h"
#include "formats/whole_file.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

// While one pull is at work no other is, here or in another process.
class FolderLock final {
 public:
  explicit FolderLock(const std::string& folder)
      : fd_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}
  ~FolderLock() {
    if (fd_ >= 0) close(fd_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  bool take() const { return fd_ >= 0 && flock(fd_, LOCK_EX | LOCK_NB) == 0; }

 private:
  int fd_;
};

uint64_t size_of(const std::string& path) {
  std::error_code failure;
  const auto size_bytes = fs::file_size(path, failure);
  return failure ? 0 : size_bytes;
}

bool exists(const std::string& path) {
  std::error_code failure;
  return fs::exists(path, failure);
}

Status write_text(const std::string& path, const std::string& text) {
  Result<WholeFile> file = WholeFile::create(path);
  if (!file.ok()) return file.error();
  file->write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return file->finish();
}

}  // namespace

HubRepository::HubRepository(const std::string& home, HubName name)
    : name_(std::move(name)), folder_(home + "/models/hub/" + name_.repository()) {}

std::string HubRepository::ref_path() const {
  std::string revision = name_.revision;
  for (size_t at = 0; (at = revision.find('/', at)) != std::string::npos;) {
    revision.replace(at, 1, "%2F");
  }
  return folder_ + "/refs/" + revision;
}

std::optional<std::string> HubRepository::find() const {
  if (is_commit(name_.revision)) return find(name_.revision);
  std::string commit;
  std::getline(std::ifstream(ref_path()), commit);
  return is_commit(commit) ? find(commit) : std::nullopt;
}

std::optional<std::string> HubRepository::find(const std::string& commit) const {
  const std::string folder = commit_folder(commit);
  if (name_.file.empty()) {
    return exists(folder + "/.complete") ? std::optional(folder) : std::nullopt;
  }
  const std::vector<std::string> parts = parts_of(name_.file);
  const bool all = std::ranges::all_of(
      parts, [&](const std::string& part) { return exists(folder + "/" + part); });
  return all ? std::optional(folder + "/" + name_.file) : std::nullopt;
}

Result<std::string> HubRepository::pull(HubClient& client, bool verify, const Progress& progress) {
  const Result<std::string> commit =
      is_commit(name_.revision) ? Result<std::string>(name_.revision) : client.commit_of(name_);
  if (!commit.ok()) return commit.error();
  std::error_code failure;
  fs::create_directories(folder_ + "/refs", failure);
  if (failure) {
    return Error{"cannot create the folder " + folder_ + ": " + failure.message() +
                 "; set FORERUN_HOME or --home to a folder that can be written"};
  }
  const FolderLock lock(folder_);
  if (!lock.take()) {
    return Error{"another forerun pull of " + name_.repository() + " is at work in " + folder_};
  }
  if (verify || !find(*commit)) {
    const Status status = fetch(client, *commit, verify, progress);
    if (!status.ok()) return status.error();
  }
  if (Status status = write_marks(*commit); !status.ok()) return status.error();
  return *find(*commit);
}

Status HubRepository::fetch(HubClient& client, const std::string& commit, bool verify,
                            const Progress& progress) const {
  const Result<std::vector<HubEntry>> listed = client.files_of(name_, commit);
  if (!listed.ok()) return listed.error();
  const Result<std::vector<HubEntry>> files = choose_files(name_, *listed);
  if (!files.ok()) return files.error();
  const std::string folder = commit_folder(commit);
  if (Status status = check_space(*files, folder); !status.ok()) return status;
  uint64_t total_bytes = 0;
  for (const HubEntry& file : *files) total_bytes += file.size_bytes;
  if (progress.begins) progress.begins(total_bytes);
  uint64_t before = 0;
  for (const HubEntry& file : *files) {
    const std::string place = folder + "/" + file.path;
    const bool there = exists(place) && size_of(place) == file.size_bytes &&
                       (!verify || check_digest(file, place).ok());
    if (!there) {
      HubDownload download(client, name_, commit, file, place);
      const Status status = download.run([&](uint64_t done) {
        if (progress.done_bytes) progress.done_bytes(before + done);
      });
      if (!status.ok()) return status;
    }
    before += file.size_bytes;
    if (progress.done_bytes) progress.done_bytes(before);
  }
  return {};
}

Status HubRepository::check_space(const std::vector<HubEntry>& files,
                                  const std::string& folder) const {
  uint64_t needed_bytes = 0;
  for (const HubEntry& file : files) {
    const std::string place = folder + "/" + file.path;
    const uint64_t there = std::max(size_of(place), size_of(place + ".part"));
    needed_bytes += file.size_bytes - std::min(there, file.size_bytes);
  }
  std::error_code failure;
  const fs::space_info space = fs::space(folder_, failure);
  if (failure || space.available >= needed_bytes) return {};
  return Error{"pulling " + name_.text() + " needs " +
               std::to_string((needed_bytes + 999'999) / 1'000'000) + " MB in " + folder_ +
               ", but the disk has only " + std::to_string(space.available / 1'000'000) +
               " MB free; make room, or set FORERUN_HOME or --home to another disk"};
}

Status HubRepository::write_marks(const std::string& commit) const {
  if (name_.file.empty()) {
    const Status status = write_text(commit_folder(commit) + "/.complete", "");
    if (!status.ok()) return status;
  }
  if (is_commit(name_.revision)) return {};
  return write_text(ref_path(), commit + "\n");
}

}  // namespace forerun
