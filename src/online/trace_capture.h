#pragma once

#include <cstdint>

#include "engine/sequence_end.h"
#include "online/trace_ring.h"

namespace forerun {

// Records what ends in an engine into a ring, on the engine's thread: a copy of states that lie
// there already, or nothing when the ring is full.
class TraceCapture final {
 public:
  struct Options {
    double rate = 1.0;  // of the conversations that are recorded, all turns of one or none
    int64_t max_positions = 512;  // the newest of a sequence, whose states are recorded
    // Of the engine's time that this may take; above it the rate halves, well below it comes back.
    double most_share = 0.01;
  };

  // `weights`: ModelWeights::fingerprint of the model. Borrows the ring.
  TraceCapture(int64_t d_model, uint64_t weights, TraceRing& ring, const Options& options);

  // For EngineOptions::on_sequence_end. Sequences that belong to no conversation, hold no output,
  // or failed leave nothing.
  void record(const SequenceEnd& end);

  struct Stats {
    int64_t recorded = 0;
    int64_t dropped = 0;    // the ring was full
    int64_t left_out = 0;   // by the rate
    int64_t refused = 0;    // by their request
    int64_t positions = 0;  // recorded
    double seconds = 0.0;   // taken
    double rate = 1.0;      // in force
  };
  const Stats& stats() const { return stats_; }

 private:
  bool is_chosen(uint64_t conversation) const;
  void write(const SequenceEnd& end);
  void adapt_rate(double step_seconds);

  int64_t d_model_;
  uint64_t weights_;
  TraceRing& ring_;
  Options options_;
  Stats stats_;
  // When the rate was last looked at.
  double seconds_then_ = 0.0;
  double step_seconds_then_ = 0.0;
  int64_t ends_since_ = 0;
};

}  // namespace forerun
