#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "models/model.h"
#include "online/trace_capture.h"
#include "online/trace_ring.h"
#include "online/trace_spill.h"

namespace forerun {

struct TraceOptions {
  std::string folder;                                             // empty: nothing is recorded
  double rate = 1.0;                                              // of conversations
  int64_t max_positions = TraceCapture::Options().max_positions;  // of a request
  uint64_t max_bytes = uint64_t{16} << 30;                        // of all files
};

// The folder of traces, made where there is none, with what a trainer needs of the model; and its
// writer. An Error says what cannot be written.
Result<TraceFileWriter> open_traces(const TraceOptions& trace, const Model& model);

// What an engine answers, recorded in a folder to train heads with (docs/learning.md).
class TraceRecording final {
 public:
  // Makes the folder, and lets an engine of `options` record there. An Error says what cannot be
  // written. Borrows the model.
  static Result<std::unique_ptr<TraceRecording>> start(const TraceOptions& trace,
                                                       const Model& model, EngineOptions& options);

  // Behind the last step: writes what is left, and logs what it all came to.
  void end();

 private:
  TraceRecording(const TraceOptions& trace, const Model& model, TraceRing ring,
                 TraceFileWriter writer);

  TraceRing ring_;
  TraceCapture capture_;
  std::unique_ptr<TraceSpill> spill_;
};

}  // namespace forerun
