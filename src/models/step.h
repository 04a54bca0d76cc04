#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace forerun {

// The rows one sequence brings to a step, in order. Row i's key and value go to slot
// first_slot + i of the sequence.
//
// A chain (parents null): row i stands at position first_slot + i. A tree: row i's parent is row
// parents[i] < i, or −1 for the last committed token; its position is its parent's + 1, and it
// attends to the committed positions [0, first_slot), its ancestors and itself.
struct RowGroup {
  int num_rows = 0;
  int64_t first_slot = 0;
  std::span<const int32_t> pages;    // of the sequence; slot s is slot s % 32 of pages[s / 32]
  const int32_t* parents = nullptr;  // [num_rows], or null for a chain
};

constexpr int kNumTaps = 3;

// Where a step leaves the states a speculator feeds on, per row: the residual stream entering three
// layers, that leaving the last one, and the states behind the last. Null members are not written.
struct StateTap {
  std::array<int, kNumTaps> layers = {};  // which; tap_layers() gives the usual ones
  float* entering[kNumTaps] = {};         // [rows, d_model]
  float* leaving = nullptr;               // [rows, d_model] behind the last layer, before its norm
  float* final_normed = nullptr;          // [rows, d_model]
};

// One forward pass over `tokens`, the groups' rows one after the other.
struct StepInput {
  std::span<const int32_t> tokens;  // [rows]
  std::span<const RowGroup> groups;
  std::span<const int32_t> logit_rows;  // ascending rows whose logits are wanted
  const StateTap* tap = nullptr;
  // Where the model reads states, one of both: as they are [rows, d_model], or what they are
  // projected from [rows, state_inputs].
  const float* states = nullptr;
  const float* state_inputs = nullptr;
};

}  // namespace forerun
