#pragma once

#include <cstdint>

#include "online/head_scorer.h"

namespace forerun {

class Eagle3Head;
class Model;

// What is read of a head in a step, against what the target reads.
double head_size(const Eagle3Head& head, const Model& target);

// Seconds of one sequence's round with so many drafts, these included; steps are shared by as many
// as decode together, each behind `keys` positions.
double round_seconds(const DecodingCost& cost, double head_size, int depth, int64_t keys);

}  // namespace forerun
