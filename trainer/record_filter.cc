#include "record_filter.h"

#include <utility>

#include "base/hex.h"
#include "online/gate.h"

namespace forerun {

RecordFilter::RecordFilter(const LearningTarget& target, std::string source)
    : source_(std::move(source)),
      fingerprint_(target.fingerprint),
      vocab_size_(target.vocab_size),
      d_model_(target.sizes.d_model) {}

std::optional<TraceRecord> RecordFilter::admit(std::span<const uint8_t> bytes) {
  const Result<TraceRecord> record = parse_trace(bytes);
  const Status status = record.ok() ? check(*record) : record.error();
  if (!status.ok()) {
    refuse(status.error().message);
    return std::nullopt;
  }
  if (is_held_out(record->header.conversation)) {
    ++refused_.held_out;
    return std::nullopt;
  }
  return *record;
}

void RecordFilter::refuse(const std::string& fault) {
  if (refused_.count++ == 0) refused_.first = source_ + ": " + fault;
}

Error RecordFilter::no_token(int32_t token) const {
  return Error{"a record has token " + std::to_string(token) + "; the target's vocabulary is " +
               std::to_string(vocab_size_)};
}

Status RecordFilter::check(const TraceRecord& record) const {
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
    if (!is_token(token)) return no_token(token);
  }
  for (const TraceBranchRow& row : record.branches) {
    if (!is_token(row.token)) return no_token(row.token);
  }
  return {};
}

}  // namespace forerun
