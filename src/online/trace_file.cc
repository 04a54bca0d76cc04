#include "online/trace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <new>
#include <system_error>

#include "online/trace_record.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr int kLevel = 1;  // higher ones gain nothing on the bits of states
// So many files make up the bound: what goes at once when it is reached.
constexpr uint64_t kParts = 16;
constexpr std::string_view kSuffix = ".trace";

std::string file_path(const std::string& folder, int64_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, digits.size() < 6 ? 6 - digits.size() : 0, '0');
  return folder + "/" + digits + std::string(kSuffix);
}

std::optional<int64_t> file_number(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  int64_t number = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool is_number = failure == std::errc() && end == name.data() + name.size() && number > 0;
  return is_number ? std::optional(number) : std::nullopt;
}

// The numbers of a folder's files, ascending.
Result<std::vector<int64_t>> list_files(const std::string& folder) {
  std::vector<int64_t> numbers;
  std::error_code failure;
  fs::directory_iterator entry(folder, failure);
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    const auto number = file_number(entry->path().filename().native());
    if (number.has_value()) numbers.push_back(*number);
  }
  if (failure) return Error{"cannot read " + folder + ": " + failure.message()};
  std::ranges::sort(numbers);
  return numbers;
}

void split(std::span<const uint8_t> bytes, uint8_t* planes) {
  const size_t half = bytes.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    planes[i] = bytes[2 * i];
    planes[half + i] = bytes[2 * i + 1];
  }
}

void join(const uint8_t* planes, std::span<uint8_t> bytes) {
  const size_t half = bytes.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    bytes[2 * i] = planes[i];
    bytes[2 * i + 1] = planes[half + i];
  }
}

// Each plane in blocks of its own, as their statistics are nothing alike. 0, or zstd's error.
size_t compress_planes(ZSTD_CCtx* context, std::span<const uint8_t> planes, ZSTD_outBuffer& out) {
  const size_t half = planes.size() / 2;
  ZSTD_CCtx_reset(context, ZSTD_reset_session_only);
  ZSTD_CCtx_setPledgedSrcSize(context, planes.size());
  ZSTD_inBuffer low = {planes.data(), half, 0};
  const size_t left = ZSTD_compressStream2(context, &out, &low, ZSTD_e_flush);
  if (left != 0) return left;
  ZSTD_inBuffer high = {planes.data() + half, half, 0};
  return ZSTD_compressStream2(context, &out, &high, ZSTD_e_end);
}

}  // namespace

TraceFileWriter::TraceFileWriter(std::string folder, uint64_t max_bytes)
    : folder_(std::move(folder)),
      max_bytes_(max_bytes),
      context_(ZSTD_createCCtx(), ZSTD_freeCCtx) {
  CHECK(context_ != nullptr, "no memory for zstd");
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
}
TraceFileWriter::TraceFileWriter(TraceFileWriter&&) noexcept = default;
TraceFileWriter& TraceFileWriter::operator=(TraceFileWriter&&) noexcept = default;
TraceFileWriter::~TraceFileWriter() = default;

Result<TraceFileWriter> TraceFileWriter::open(const std::string& folder, uint64_t max_bytes) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return system_error("make", folder);
  const Result<std::vector<int64_t>> numbers = list_files(folder);
  if (!numbers.ok()) return numbers.error();
  TraceFileWriter writer(folder, max_bytes);
  for (const int64_t number : *numbers) {
    std::error_code failure;
    const uint64_t bytes = fs::file_size(file_path(folder, number), failure);
    writer.files_.push_back({number, failure ? 0 : bytes});
    writer.total_bytes_ += writer.files_.back().bytes;
    writer.last_number_ = number;
  }
  return writer;
}

Status TraceFileWriter::write(std::span<const uint8_t> record) {
  const Result<std::span<const uint8_t>> frame = compress(record);
  if (!frame.ok()) return frame.error();
  if (Status status = make_room(frame->size()); !status.ok()) return status;
  if (!file_.is_open()) {
    if (Status status = begin_file(); !status.ok()) return status;
  }
  return append(*frame);
}

// The frame of a record, valid until the next call.
Result<std::span<const uint8_t>> TraceFileWriter::compress(std::span<const uint8_t> record) {
  if (const auto parsed = parse_trace(record); !parsed.ok()) return parsed.error();
  const auto too_large = [&] {
    return Error{"a trace record of " + std::to_string(record.size()) + " bytes is too large for " +
                 folder_};
  };
  if (record.size() > kMostTraceBytes) return too_large();
  planes_.resize(record.size());
  split(record, planes_.data());
  // A bound for each plane, as the first one's last block is cut short.
  frame_.resize(sizeof(TraceFrame) + 2 * ZSTD_compressBound(record.size() / 2));
  ZSTD_outBuffer out = {frame_.data(), frame_.size(), sizeof(TraceFrame)};
  if (const size_t left = compress_planes(context_.get(), planes_, out); left != 0) {
    return Error{"cannot compress a trace record: " + std::string(ZSTD_getErrorName(left))};
  }
  const size_t stored = out.pos - sizeof(TraceFrame);
  TraceFrame head;
  head.stored_bytes = static_cast<uint32_t>(stored);
  head.record_bytes = record.size();
  if (head.stored_bytes != stored || sizeof(head) + stored > max_bytes_) return too_large();
  std::memcpy(frame_.data(), &head, sizeof(head));
  return std::span<const uint8_t>(frame_).first(sizeof(head) + stored);
}

// Ends the file that is full and removes the oldest ones until `bytes` more are within the bound.
Status TraceFileWriter::make_room(uint64_t bytes) {
  if (file_.is_open() && files_.back().bytes + bytes > max_bytes_ / kParts) file_.reset();
  while (total_bytes_ + bytes > max_bytes_) {
    const File oldest = files_.front();
    const std::string path = file_path(folder_, oldest.number);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return system_error("remove", path);
    total_bytes_ -= oldest.bytes;
    files_.pop_front();
  }
  return {};
}

Status TraceFileWriter::begin_file() {
  const std::string path = file_path(folder_, last_number_ + 1);
  file_ = FileDescriptor(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
  if (!file_.is_open()) return system_error("create", path);
  files_.push_back({++last_number_, 0});
  return {};
}

Status TraceFileWriter::append(std::span<const uint8_t> frame) {
  File& file = files_.back();
  if (write_all(file_, frame)) {
    file.bytes += frame.size();
    total_bytes_ += frame.size();
    return {};
  }
  const Error error = system_error("write", file_path(folder_, file.number));
  // Behind a torn frame nothing would be found: the next one begins a file.
  if (ftruncate(file_.get(), static_cast<off_t>(file.bytes)) != 0) file_.reset();
  return error;
}

TraceFileReader::TraceFileReader(std::vector<std::string> paths)
    : paths_(std::move(paths)), context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
  CHECK(context_ != nullptr, "no memory for zstd");
}
TraceFileReader::TraceFileReader(TraceFileReader&&) noexcept = default;
TraceFileReader& TraceFileReader::operator=(TraceFileReader&&) noexcept = default;
TraceFileReader::~TraceFileReader() = default;

Result<TraceFileReader> TraceFileReader::open(const std::string& folder) {
  const Result<std::vector<int64_t>> numbers = list_files(folder);
  if (!numbers.ok()) return numbers.error();
  std::vector<std::string> paths;
  for (const int64_t number : *numbers) paths.push_back(file_path(folder, number));
  return TraceFileReader(std::move(paths));
}

std::optional<std::vector<uint64_t>> TraceFileReader::next() {
  while (file_.is_open() || open_next_file()) {
    const std::optional<TraceFrame> frame = next_frame();
    if (!frame.has_value()) {
      file_.reset();
      continue;
    }
    std::optional<std::vector<uint64_t>> record = decode(*frame);
    if (record.has_value()) return record;
    ++num_corrupt_;
  }
  return std::nullopt;
}

bool TraceFileReader::open_next_file() {
  while (next_path_ < paths_.size()) {
    const std::string& path = paths_[next_path_++];
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool is_gone = descriptor < 0 && errno == ENOENT;  // the writer may remove the oldest
    file_ = FileDescriptor(descriptor);
    struct stat info = {};
    if (file_.is_open() && fstat(file_.get(), &info) == 0) {
      at_ = 0;
      end_ = static_cast<uint64_t>(info.st_size);
      return true;
    }
    if (!is_gone) ++num_corrupt_;
  }
  return false;
}

bool TraceFileReader::read(void* out, size_t bytes) {
  if (end_ - at_ < bytes) return false;
  auto* to = static_cast<uint8_t*>(out);
  for (size_t done = 0; done < bytes;) {
    const ssize_t count =
        pread(file_.get(), to + done, bytes - done, static_cast<off_t>(at_ + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<size_t>(count);
  }
  at_ += bytes;
  return true;
}

// The frame that begins here, its stored bytes read; nothing where the file ends.
std::optional<TraceFrame> TraceFileReader::next_frame() {
  TraceFrame frame;
  if (!read(&frame, sizeof(frame))) return std::nullopt;
  const bool is_believed =
      frame.magic == TraceFrame::kMagic && frame.record_bytes >= sizeof(TraceHeader) &&
      frame.record_bytes <= kMostTraceBytes && frame.record_bytes % sizeof(uint64_t) == 0;
  if (!is_believed) {
    ++num_corrupt_;
    return std::nullopt;
  }
  if (end_ - at_ < frame.stored_bytes) return std::nullopt;
  stored_.resize(frame.stored_bytes);
  return read(stored_.data(), stored_.size()) ? std::optional(frame) : std::nullopt;
}

std::optional<std::vector<uint64_t>> TraceFileReader::decode(const TraceFrame& frame) {
  if (ZSTD_getFrameContentSize(stored_.data(), stored_.size()) != frame.record_bytes) {
    return std::nullopt;
  }
  if (planes_bytes_ < frame.record_bytes) {
    planes_.reset(new (std::nothrow) uint8_t[frame.record_bytes]);
    planes_bytes_ = planes_ == nullptr ? 0 : frame.record_bytes;
    if (planes_ == nullptr) return std::nullopt;
  }
  const size_t bytes = ZSTD_decompressDCtx(context_.get(), planes_.get(), frame.record_bytes,
                                           stored_.data(), stored_.size());
  if (bytes != frame.record_bytes) return std::nullopt;
  std::vector<uint64_t> record(bytes / sizeof(uint64_t));
  join(planes_.get(), {reinterpret_cast<uint8_t*>(record.data()), bytes});
  if (!parse_trace(trace_bytes(record)).ok()) return std::nullopt;
  return record;
}

}  // namespace forerun
