#include "trace_files.h"

#include <utility>

namespace forerun {

Result<TraceFiles> TraceFiles::open(const std::string& folder, const LearningTarget& target) {
  Result<TraceFileReader> reader = TraceFileReader::open(folder);
  if (!reader.ok()) return reader.error();
  return TraceFiles(*std::move(reader), RecordFilter(target, folder));
}

TraceFiles::TraceFiles(TraceFileReader reader, RecordFilter filter)
    : reader_(std::move(reader)), filter_(std::move(filter)) {}

std::optional<TraceRecord> TraceFiles::next() {
  while (std::optional<std::vector<uint64_t>> bytes = reader_.next()) {
    refuse_damaged();
    bytes_ = *std::move(bytes);
    if (const std::optional<TraceRecord> record = filter_.admit(trace_bytes(bytes_))) return record;
  }
  refuse_damaged();
  return std::nullopt;
}

// What the reader has left out since the last time.
void TraceFiles::refuse_damaged() {
  for (; num_damaged_ < reader_.num_corrupt(); ++num_damaged_) {
    filter_.refuse("a file of traces is damaged");
  }
}

}  // namespace forerun
