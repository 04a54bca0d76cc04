#include "trace_files.h"

#include <utility>

#include "base/hex.h"

namespace forerun {
Result<TraceFiles> TraceFiles::open(const std::string& folder, const LearningTarget& target) {
  Result<TraceFileReader> reader = TraceFileReader::open(folder);
  if (!reader.ok()) return reader.error();
  return TraceFiles(*std::move(reader), folder, target);
}

TraceFiles::TraceFiles(TraceFileReader reader, std::string folder, const LearningTarget& target)
    : reader_(std::move(reader)),
      folder_(std::move(folder)),
      fingerprint_(target.fingerprint),
      vocab_size_(target.vocab_size),
      d_model_(target.sizes.d_model) {}

std::optional<TraceRecord> TraceFiles::next() {
  while (std::optional<std::vector<uint64_t>> bytes = reader_.next()) {
    refuse_damaged();
    bytes_ = *std::move(bytes);
    const Result<TraceRecord> record = parse_trace(trace_bytes(bytes_));
    const Status status = record.ok() ? check(*record) : record.error();
    if (status.ok()) return *record;
    refuse(folder_ + ": " + status.error().message);
  }
  refuse_damaged();
  return std::nullopt;
}

Status TraceFiles::check(const TraceRecord& record) const {
  const TraceHeader& header = record.header;
  if (header.weights != fingerprint_) {
    return Error{"a record is of weights " + hex(header.weights) + "; the target's are " +
                 hex(fingerprint_)};
  }
  if (header.d_model != d_model_) {
    return Error{"a record's states have " + std::to_string(header.d_model) +
                 " values; the target's d_model is " + std::to_string(d_model_)};
  }
  for (const int32_t token : record.tokens) {
    if (token >= 0 && token < vocab_size_) continue;
    return Error{"a record has token " + std::to_string(token) + "; the target's vocabulary is " +
                 std::to_string(vocab_size_)};
  }
  return {};
}

void TraceFiles::refuse(const std::string& fault) {
  if (refused_.count++ == 0) refused_.first = fault;
}

// What the reader has left out since the last time.
void TraceFiles::refuse_damaged() {
  for (; num_damaged_ < reader_.num_corrupt(); ++num_damaged_) {
    refuse(folder_ + ": a file of traces is damaged");
  }
}

}  // namespace forerun
