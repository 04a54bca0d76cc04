#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "online/trace_record.h"

namespace forerun {

// Records that were passed over.
struct RefusedRecords {
  int64_t count = 0;     // that do not fit
  std::string first;     // the first one's fault, in a sentence
  int64_t held_out = 0;  // of conversations that are never trained on
};

// Where records to learn from come from, in an order that is the same every time.
class RecordSource {
 public:
  virtual ~RecordSource() = default;

  // The next record, valid until the next call; none at the end.
  virtual std::optional<TraceRecord> next() = 0;
  virtual const RefusedRecords& refused() const = 0;
};

}  // namespace forerun
