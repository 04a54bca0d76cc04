#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "adam.h"
#include "base/result.h"
#include "loss.h"
#include "record_source.h"

namespace forerun {

struct TrainOptions {
  std::string traces;  // folder: target.json, target.safetensors and *.trace
  std::string out;     // folder of the head; <out>.state beside it is what --resume reads
  std::string init;    // folder of a head to begin with; empty: a new one
  bool resume = false;
  int64_t steps = 0;  // most updates, those of resumed runs included; 0: as many as the epochs give
  int64_t epochs = 1;
  int64_t batch = 8;     // records
  int64_t window = 512;  // slots of a record, the newest
  int64_t draft_vocab = 4096;
  bool freeze_output = false;
  uint64_t seed = 0;
  int64_t save_every = 100;   // steps
  int64_t report_every = 10;  // steps
  LossOptions loss;
  AdamOptions adam;
};

// Of the steps since the last report.
struct TrainReport {
  int64_t step = 0;  // the last one
  double loss = 0.0;
  std::vector<double> accuracies;  // of each step of the unroll; misses of what has no logit count
  double tokens_per_second = 0.0;  // of slots in records
  double flops_per_second = 0.0;   // as BatchLoss::flops
  int64_t skipped = 0;             // batches, of the whole run
  int64_t refused = 0;             // records, of this pass

  // 1 + a0 + a0 · a1 + …: tokens of a verified chain, the target's own included.
  double acceptance_length() const;
};

struct TrainResult {
  int64_t steps = 0;  // of the head that was published
  RefusedRecords refused;
};

// Trains a head on the records of a folder and publishes it: every `save_every` steps and at the
// end, the state to go on from first. A batch whose loss or gradient is not finite is passed over.
// An Error says what of the files does not fit, or that there was nothing to learn from.
Result<TrainResult> train(const TrainOptions& options,
                          const std::function<void(const TrainReport&)>& report);

}  // namespace forerun
