#include "formats/hub_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "formats/git_blob.h"
#include "formats/quote.h"
#include "formats/sha256.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxEtagBytes = 1024;
constexpr int kMaxRequests = 500;  // however little each brings

std::string read_etag(const std::string& path) {
  std::string etag;
  std::getline(std::ifstream(path), etag);
  return etag.size() <= kMaxEtagBytes ? etag : "";
}

}  // namespace

HubDownload::HubDownload(HubClient& client, const HubName& name, std::string commit,
                         const HubEntry& file, std::string place)
    : client_(client),
      name_(name),
      commit_(std::move(commit)),
      file_(file),
      place_(std::move(place)),
      part_(place_ + ".part"),
      etag_path_(part_ + ".etag") {}

HubDownload::~HubDownload() {
  if (fd_ >= 0) close(fd_);
}

Status HubDownload::run(const std::function<void(uint64_t)>& progress) {
  progress_ = progress;
  if (Status status = open_part(); !status.ok()) return status;
  if (Status status = fetch(); !status.ok()) return status;
  Status checked = check_digest(file_, part_);
  if (!checked.ok() && resumed_) {  // what was there before may have been the wrong part
    start_anew();
    if (Status status = fetch(); !status.ok()) return status;
    checked = check_digest(file_, part_);
  }
  if (checked.ok()) return move_into_place();
  start_anew();
  fs::remove(part_);
  return checked;
}

Status HubDownload::open_part() {
  std::error_code ignored;  // that the file cannot be opened says it all
  fs::create_directories(fs::path(place_).parent_path(), ignored);
  fd_ = open(part_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0644);
  struct stat found{};
  if (fd_ < 0 || fstat(fd_, &found) != 0) return failure("open");
  done_bytes_ = static_cast<uint64_t>(found.st_size);
  resumed_ = done_bytes_ > 0;
  if (done_bytes_ > file_.size_bytes) start_anew();
  return {};
}

Status HubDownload::fetch() {
  int tries = 0;  // since the last bytes came
  for (int requests = 1; done_bytes_ < file_.size_bytes; ++requests) {
    const uint64_t before = done_bytes_;
    HttpEnd end = fetch_rest();
    if (end.failure.empty() && done_bytes_ < file_.size_bytes) {
      end.failure = "it ended after " + std::to_string(done_bytes_) + " of " +
                    std::to_string(file_.size_bytes) + " bytes";
      end.may_pass = true;
    }
    if (end.failure.empty()) break;
    if (end.head.status == 416) {  // the hub has nothing from there on
      start_anew();
      end.may_pass = true;
    }
    tries = done_bytes_ > before ? 1 : tries + 1;
    if (requests >= kMaxRequests || !client_.wait_for_another_try(tries, end)) {
      return client_.explain(name_, "file " + quote(file_.path), end);
    }
  }
  return {};
}

HttpEnd HubDownload::fetch_rest() {
  HubClient::FileRequest request;
  request.commit = commit_;
  request.file = &file_;
  request.begin_bytes = done_bytes_;
  request.etag = done_bytes_ > 0 ? read_etag(etag_path_) : "";
  request.on_begin = [this](uint64_t begin, const std::string& etag) {
    return begin_at(begin, etag);
  };
  request.on_bytes = [this](std::span<const uint8_t> bytes) { return write(bytes); };
  return client_.get_file(name_, request);
}

Status HubDownload::begin_at(uint64_t begin_bytes, const std::string& etag) {
  const auto begin = static_cast<off_t>(begin_bytes);
  if (ftruncate(fd_, begin) != 0 || lseek(fd_, begin, SEEK_SET) != begin) return failure("write");
  done_bytes_ = begin_bytes;
  if (begin_bytes == 0) resumed_ = false;
  std::ofstream(etag_path_, std::ios::trunc) << etag << '\n';
  return {};
}

Status HubDownload::write(std::span<const uint8_t> bytes) {
  if (bytes.size() > file_.size_bytes - done_bytes_) {
    return Error{"it is larger than the " + std::to_string(file_.size_bytes) +
                 " bytes that the hub lists"};
  }
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure("write");
    bytes = bytes.subspan(static_cast<size_t>(written));
    done_bytes_ += static_cast<uint64_t>(written);
  }
  if (progress_) progress_(done_bytes_);
  return {};
}

void HubDownload::start_anew() {
  done_bytes_ = 0;
  resumed_ = false;
  std::error_code ignored;
  fs::resize_file(part_, 0, ignored);
  fs::remove(etag_path_, ignored);
}

Status HubDownload::move_into_place() {
  if (fsync(fd_) != 0) return failure("write");
  if (std::rename(part_.c_str(), place_.c_str()) != 0) return failure("rename");
  std::error_code ignored;
  fs::remove(etag_path_, ignored);
  return {};
}

Error HubDownload::failure(const char* what) const {
  return Error{std::string("cannot ") + what + " " + part_ + ": " + std::strerror(errno)};
}

Status check_digest(const HubEntry& file, const std::string& path) {
  const bool large = !file.sha256.empty();
  const Result<std::string> digest = large ? sha256_of_file(path) : git_blob_id(path);
  if (!digest.ok()) return digest.error();
  const std::string& wanted = large ? file.sha256 : file.blob_sha1;
  if (*digest == wanted) return {};
  return Error{quote(file.path) + " has " + (large ? "SHA-256 " : "the git id ") + *digest +
               " where the hub lists " + wanted + "; it was not kept"};
}

}  // namespace forerun
