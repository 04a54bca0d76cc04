#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "aten.h"
#include "head.h"
#include "needed_rows.h"

namespace forerun {

// The head's layer, unrolled as it drafts (EAGLE-3's training-time test): slot t reads the target's
// states at its position and the token behind it. Step 0 of base t is slot t. Step i reads the
// token i further on and, for a state, the output of step i − 1; it sees the keys and values of
// slots 0 … t and of its base's own steps 1 … i.
//
//   embeddings [batch, slots + steps − 1, d_model]  of the token behind each slot, and of those
//                                                   that later steps of the last bases read
//   states     [batch, slots, 3 · d_model]
//
// Bases are the slots from `first_base` on. A draft may leave the text: a branch's row of step i
// reads a token of its own, and for a state the output of step i − 1 of its base, or of the row of
// the branch before it. It sees what that one saw, that one and itself.
struct BranchRows {
  at::Tensor embeddings;  // [batch, rows, d_model] of their tokens; undefined: there are no rows
  at::Tensor bases;       // int64 [batch, rows]: slots
  // int64 [batch, rows]: whose output they read: a base, counted from the first one, or behind the
  // bases a branch's row of the step before.
  at::Tensor parents;

  bool any() const { return embeddings.defined(); }
};

// The layer's output of one step.
struct StepOutputs {
  at::Tensor bases;     // [batch, slots − first_base, d_model]
  at::Tensor branches;  // [batch, rows, d_model]; undefined where there are none
};

// Of each step. `branches`: of each step, none of step 0; or nothing at all. `needed`: of each
// example the slots that are bases of anything, none before `first_base`; the outputs of others are
// zeros. Nothing there: all of them are.
std::vector<StepOutputs> unroll(const Head& head, const at::Tensor& embeddings,
                                const at::Tensor& states, int64_t first_base, int steps,
                                std::span<const BranchRows> branches = {},
                                std::span<const RowRange> needed = {});

}  // namespace forerun
