#pragma once

#include <cstdint>

#include "online/head_scorer.h"

namespace forerun {

// Seconds of one sequence's round with so many drafts, these included; steps are shared by as many
// as decode together, each behind `keys` positions. `head_size`: the head's bytes against the
// target's.
double round_seconds(const DecodingCost& cost, double head_size, int depth, int64_t keys);

}  // namespace forerun
