#pragma once

#include "cache/kv_pool.h"
#include "models/decoder.h"
#include "spec/step_cost.h"

namespace forerun {

// Times a few steps of the decoder: some with 1 to 32 rows, and two behind many positions. All keys
// are read from page 0 of the pool, whose contents are lost.
StepCost time_steps(Decoder& decoder, KvPool& pool);

}  // namespace forerun
