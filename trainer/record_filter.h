#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "learning_target.h"
#include "online/trace_record.h"
#include "record_source.h"

namespace forerun {

// What of the records that come may be trained on: those of the target's weights and sizes, and of
// conversations that are not held out (online/gate.h).
class RecordFilter final {
 public:
  // `source` begins the sentences.
  RecordFilter(const LearningTarget& target, std::string source);

  // The record that `bytes` are, aligned to 8. None: it is held out, or refused.
  std::optional<TraceRecord> admit(std::span<const uint8_t> bytes);
  // Counts one that did not even come as a record's bytes.
  void refuse(const std::string& fault);
  const RefusedRecords& refused() const { return refused_; }

 private:
  Status check(const TraceRecord& record) const;
  bool is_token(int32_t token) const { return token >= 0 && token < vocab_size_; }
  Error no_token(int32_t token) const;

  std::string source_;
  uint64_t fingerprint_;
  int64_t vocab_size_;
  int64_t d_model_;
  RefusedRecords refused_;
};

}  // namespace forerun
