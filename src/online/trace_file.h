#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "online/file_descriptor.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace forerun {

// Records (trace_record.h) kept on disk for training later: a folder of files 000001.trace,
// 000002.trace, …, each of frames one after the other:
//
//   TraceFrame · one zstd frame (RFC 8878), with its checksum, of the record's even bytes and then
//   its odd bytes
//
// Split so, the bytes that hold the exponents of bf16 lie together: Gaussian states take 68 % of
// their size rather than 78 %. Numbers are little-endian. Whatever else is in the folder is let be.
struct TraceFrame {
  static constexpr uint32_t kMagic = 0x46525446;  // "FTRF"

  uint32_t magic = kMagic;
  uint32_t stored_bytes = 0;  // of the zstd frame
  uint64_t record_bytes = 0;
};
static_assert(sizeof(TraceFrame) == 16);

// Larger records are neither written nor believed.
constexpr uint64_t kMostTraceBytes = uint64_t{1} << 32;

// Writes the folder's files, readable by nobody but the user: they hold what people wrote. One
// writer at a time.
class TraceFileWriter final {
 public:
  // Makes the folder where there is none. Its files together stay within `max_bytes`: the oldest
  // goes when they would not.
  static Result<TraceFileWriter> open(const std::string& folder, uint64_t max_bytes);
  TraceFileWriter(TraceFileWriter&&) noexcept;
  TraceFileWriter& operator=(TraceFileWriter&&) noexcept;
  ~TraceFileWriter();

  // Appends one record. After an Error (the disk is full, no record) the next may be written.
  Status write(std::span<const uint8_t> record);

 private:
  struct File {
    int64_t number;
    uint64_t bytes;
  };
  TraceFileWriter(std::string folder, uint64_t max_bytes);
  Result<std::span<const uint8_t>> compress(std::span<const uint8_t> record);
  Status make_room(uint64_t bytes);
  Status begin_file();
  Status append(std::span<const uint8_t> frame);

  std::string folder_;
  uint64_t max_bytes_;
  std::deque<File> files_;  // oldest first; the last is being written while `file_` is open
  int64_t last_number_ = 0;
  uint64_t total_bytes_ = 0;
  FileDescriptor file_;
  std::unique_ptr<ZSTD_CCtx_s, size_t (*)(ZSTD_CCtx_s*)> context_;
  std::vector<uint8_t> planes_;
  std::vector<uint8_t> frame_;
};

// Reads the records that a folder holds when it is opened, the oldest first, also while a writer is
// at work there.
class TraceFileReader final {
 public:
  static Result<TraceFileReader> open(const std::string& folder);
  TraceFileReader(TraceFileReader&&) noexcept;
  TraceFileReader& operator=(TraceFileReader&&) noexcept;
  ~TraceFileReader();

  // A record that parse_trace() takes, or nothing at the end. A frame that was cut off ends its
  // file, and so does one whose head is broken, as nothing says where the next begins; of any other
  // broken frame the next is read.
  std::optional<std::vector<uint64_t>> next();

  // Frames, and files that cannot be opened, that were left out so far.
  int64_t num_corrupt() const { return num_corrupt_; }

 private:
  explicit TraceFileReader(std::vector<std::string> paths);
  bool open_next_file();
  bool read(void* out, size_t bytes);
  std::optional<TraceFrame> next_frame();
  std::optional<std::vector<uint64_t>> decode(const TraceFrame& frame);

  std::vector<std::string> paths_;
  size_t next_path_ = 0;
  FileDescriptor file_;
  uint64_t at_ = 0;   // of the file
  uint64_t end_ = 0;  // its size when it was opened
  int64_t num_corrupt_ = 0;
  std::unique_ptr<ZSTD_DCtx_s, size_t (*)(ZSTD_DCtx_s*)> context_;
  std::vector<uint8_t> stored_;
  std::unique_ptr<uint8_t[]> planes_;  // untouched pages of a size that is a lie cost nothing
  uint64_t planes_bytes_ = 0;
};

// A record's bytes in eight-byte words as bytes.
inline std::span<const uint8_t> trace_bytes(const std::vector<uint64_t>& words) {
  return {reinterpret_cast<const uint8_t*>(words.data()), words.size() * sizeof(uint64_t)};
}

}  // namespace forerun
