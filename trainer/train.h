#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "record_source.h"
#include "train_report.h"
#include "training_options.h"

namespace forerun {

struct TrainOptions : TrainingOptions {
  std::string traces;  // folder: target.json, target.safetensors and *.trace
  std::string out;     // folder of the head; <out>.state beside it is what --resume reads
  bool resume = false;
  int64_t steps = 0;  // most updates, those of resumed runs included; 0: as many as the epochs give
  int64_t epochs = 1;
  int64_t save_every = 100;   // steps
  int64_t report_every = 10;  // steps
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
