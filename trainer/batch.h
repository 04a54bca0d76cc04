#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "aten.h"
#include "online/trace_record.h"

namespace forerun {

// A token that the target was run over in vain (online/trace_record.h).
struct BranchRow {
  int64_t slot;    // whose token its branch hangs from
  int64_t parent;  // among the example's rows, before it; −1: that token
  int64_t depth;   // in its draft, from 1 on
  int64_t token;
};

// What a head learns from one record, a copy of it: its newest slots, a slot being a position that
// has states and a token behind it.
struct Example {
  at::Tensor tokens;           // int64 [slots], the token behind each
  at::Tensor states;           // bf16 [slots, 3 · d_model]
  at::Tensor finals;           // bf16 [slots, d_model]: what the slot's token was sampled from
  int64_t first_response = 0;  // the first slot whose token is of the response
  // Only where they are asked for:
  std::vector<BranchRow> branches;
  at::Tensor branch_finals;  // bf16 [branches, d_model]: what the token behind each would be
                             // sampled from

  int64_t bytes() const;
};

// At most `max_slots`; none where there is no response token with a slot before its own.
std::optional<Example> make_example(const TraceRecord& record, int64_t max_slots,
                                    bool with_branches = false);

// Examples side by side, the shorter ones followed by zeros.
struct Batch {
  at::Tensor tokens;  // int64 [examples, slots]
  at::Tensor states;  // bf16 [examples, slots, 3 · d_model]
  at::Tensor finals;  // bf16 [examples, slots, d_model]
  struct Slots {
    int64_t first;
    int64_t end;
  };
  std::vector<Slots> responses;  // of each example: the slots whose tokens are of its response
  std::vector<std::vector<BranchRow>> branches;  // of each example
  at::Tensor branch_finals;  // bf16 [rows of all branches, d_model]; undefined: there are none

  int64_t num_examples() const { return tokens.size(0); }
  int64_t num_slots() const { return tokens.size(1); }
};
Batch make_batch(std::span<const Example> examples);

}  // namespace forerun
