#pragma once

#include <cstdint>
#include <string>

#include "adam.h"
#include "loss.h"

namespace forerun {

// How heads are trained, wherever their records come from.
struct TrainingOptions {
  std::string init;      // folder of a head to begin with; empty: a new one
  int64_t batch = 2;     // records
  int64_t window = 512;  // slots of a record, the newest
  int64_t draft_vocab = 4096;
  bool freeze_output = false;
  uint64_t seed = 0;
  LossOptions loss;
  AdamOptions adam;
};

}  // namespace forerun
