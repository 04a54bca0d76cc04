#pragma once

#include "base/parallel.h"
#include "kernels/isa.h"
#include "tensor/buffer.h"

namespace forerun {

// What the machine can do at most, measured here and now by all members of the team: the ceilings
// that benchmarks are told against.

// Integer multiply-adds per second, in 10^9: dot products of an instruction set on registers alone.
double measure_int8_gmacs(Isa isa, Team& team);

// The same in bf16 with f32 sums; 0 where the instruction set has no bf16 products.
double measure_bf16_gmacs(Isa isa, Team& team);

// Reads memory as fast as the team can.
class ReadPeak final {
 public:
  // Fills 1 GiB, which it keeps. Borrows the team.
  explicit ReadPeak(Team& team);

  // The best of 10 sums over all of it, in 10^9 bytes per second.
  double measure_gb_s();

 private:
  Team& team_;
  Buffer memory_;
};

}  // namespace forerun
