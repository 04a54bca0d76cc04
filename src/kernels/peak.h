#pragma once

#include "base/parallel.h"
#include "kernels/isa.h"

namespace forerun {

// What the machine can do at most, measured here and now by all members of the team: the ceilings
// that benchmarks are told against.

// Integer multiply-adds per second, in 10^9: dot products of an instruction set on registers alone.
double measure_int8_gmacs(Isa isa, Team& team);

// Reading memory, in 10^9 bytes per second: the best of 10 sums over 1 GiB.
double measure_read_gb_s(Team& team);

}  // namespace forerun
