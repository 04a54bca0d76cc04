#include "trace_recording.h"

#include <utility>

#include "base/log.h"
#include "online/target_files.h"

namespace forerun {
namespace {

// Between the engine and the disk: some hundred requests of a small model, some dozen of a large
// one.
constexpr int64_t kRingBytes = int64_t{1} << 28;

}  // namespace

TraceRecording::TraceRecording(const TraceOptions& trace, const Model& model, TraceRing ring,
                               TraceFileWriter writer)
    : ring_(std::move(ring)),
      capture_(model.descriptor().d_model, model.weights().fingerprint, ring_,
               {.rate = trace.rate, .max_positions = trace.max_positions}),
      spill_(std::make_unique<TraceSpill>(ring_, std::move(writer))) {}

Result<TraceFileWriter> open_traces(const TraceOptions& trace, const Model& model) {
  Result<TraceFileWriter> writer = TraceFileWriter::open(trace.folder, trace.max_bytes);
  if (!writer.ok()) return writer;
  if (Status status = write_target(trace.folder, model); !status.ok()) return status.error();
  return writer;
}

Result<std::unique_ptr<TraceRecording>> TraceRecording::start(const TraceOptions& trace,
                                                              const Model& model,
                                                              EngineOptions& options) {
  Result<TraceFileWriter> writer = open_traces(trace, model);
  if (!writer.ok()) return writer.error();
  Result<TraceRing> ring = TraceRing::create(kRingBytes);
  if (!ring.ok()) return ring.error();
  std::unique_ptr<TraceRecording> recording(
      new TraceRecording(trace, model, *std::move(ring), *std::move(writer)));
  options.keep_finals = true;
  options.max_rejected_rows = trace.max_positions;
  options.on_sequence_end = [&capture = recording->capture_](const SequenceEnd& end) {
    capture.record(end);
  };
  return recording;
}

void TraceRecording::end() {
  const TraceCapture::Stats& stats = capture_.stats();
  const int64_t failed = spill_->failed();
  spill_.reset();
  log(LogLevel::kInfo, "traces",
      {{"recorded", stats.recorded},
       {"positions", stats.positions},
       {"dropped", stats.dropped},
       {"left_out", stats.left_out},
       {"refused", stats.refused},
       {"not_written", failed},
       {"milliseconds", stats.seconds * 1e3}});
}

}  // namespace forerun
