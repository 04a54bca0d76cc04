#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "learning_target.h"
#include "online/trace_file.h"
#include "record_filter.h"
#include "record_source.h"

namespace forerun {

// The records that a folder's files hold when it is opened, the oldest first (online/trace_file.h).
// A last record that is not whole, as a writer leaves it that was killed, is the end of its file.
// What may not be trained on is left out (record_filter.h), and so is what is damaged.
class TraceFiles final : public RecordSource {
 public:
  // An Error names a folder that cannot be read.
  static Result<TraceFiles> open(const std::string& folder, const LearningTarget& target);

  std::optional<TraceRecord> next() override;
  const RefusedRecords& refused() const override { return filter_.refused(); }

 private:
  TraceFiles(TraceFileReader reader, RecordFilter filter);
  void refuse_damaged();

  TraceFileReader reader_;
  RecordFilter filter_;
  std::vector<uint64_t> bytes_;  // of the record last returned
  int64_t num_damaged_ = 0;
};

}  // namespace forerun
