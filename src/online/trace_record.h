#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "spec/draft.h"

namespace forerun {

// What a served sequence leaves for learning (docs/learning.md): its tokens, and for the last of
// its positions the states that a head reads and those its target distribution follows from.
//
// A record is one block of bytes, the same in memory, between processes and in files:
//
//   TraceHeader · tokens int32 [num_tokens] · first_drafts uint8 [num_marks] · up to 64 bytes ·
//   states bf16 [num_states, 3 · d_model] · up to 64 bytes · finals bf16 [num_states, d_model] ·
//   up to 64 bytes · branches TraceBranchRow [num_branch_rows] · up to 64 bytes ·
//   branch_finals bf16 [num_branch_rows, d_model] · up to 64 bytes
//
// Numbers are little-endian. `states` are the residual stream entering the target's three tap
// layers, `finals` what its output matrix is multiplied with, both of the positions first_state …
// first_state + num_states − 1. `branches` are drafted tokens that the target was run over and that
// did not come, `branch_finals` what its output matrix is multiplied with behind each of them.
//
// Version 2 had no branches; without any they are the same.
struct TraceHeader {
  static constexpr uint32_t kMagic = 0x32525446;  // "FTR2"

  uint32_t magic = kMagic;
  uint32_t version = 3;
  uint64_t bytes = 0;         // of the whole record
  uint64_t weights = 0;       // ModelWeights::fingerprint of the target
  uint64_t conversation = 0;  // the same for all turns of one: who is held out of training together
  uint64_t head = 0;          // that drafted; 0: none
  uint64_t seed = 0;
  int64_t num_tokens = 0;     // prompt and output
  int64_t prompt_tokens = 0;  // the first of them
  int64_t first_state = 0;
  int64_t num_states = 0;
  int64_t d_model = 0;  // of the target
  int32_t choice = 0;
  float temperature = 0.0f;
  int32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint32_t num_marks = 0;  // 0 … num_tokens
  // 1: penalties, a bias or a grammar had a part in what was chosen, which are not recorded: the
  // sequence teaches, but replay cannot tell what would have been drafted for it.
  uint32_t is_constrained = 0;
  uint32_t num_branch_rows = 0;
};
static_assert(sizeof(TraceHeader) == 120);

// A token of a branch. Positions ascend, and parents stand before their children.
struct TraceBranchRow {
  int32_t position = 0;  // of the sequence's token that the branch hangs from, one with states
  // Among the record's branch rows, of the same position and one less in depth; −1: it hangs from
  // the sequence.
  int32_t parent = -1;
  int32_t depth = 0;  // in its draft, from 1 on: depth − 1 tokens of it, the right ones too, before
  int32_t token = 0;
};
static_assert(sizeof(TraceBranchRow) == 16);

// A record's parts, in place.
struct TraceRecord {
  TraceHeader header;
  std::span<const int32_t> tokens;  // [num_tokens]
  // What came of the first tokens that the head drafted, by the token's place; [num_marks].
  std::span<const FirstDraft> first_drafts;
  std::span<const uint16_t> states;               // [num_states, 3 · d_model]
  std::span<const uint16_t> finals;               // [num_states, d_model]
  std::span<const TraceBranchRow> branches = {};  // [num_branch_rows]
  std::span<const uint16_t> branch_finals = {};   // [num_branch_rows, d_model]

  // Of a position that has states.
  std::span<const uint16_t> states_at(int64_t position) const {
    const auto width = static_cast<size_t>(3 * header.d_model);
    return states.subspan(static_cast<size_t>(position - header.first_state) * width, width);
  }
};

// Limits of what is believed of a record.
constexpr int64_t kMostTraceTokens = int64_t{1} << 24;
constexpr int64_t kMostTraceWidth = int64_t{1} << 16;
constexpr int64_t kMostBranchRows = int64_t{1} << 24;

// Where a record's parts lie, in bytes from its begin.
struct TraceLayout {
  int64_t tokens = 0;
  int64_t first_drafts = 0;
  int64_t states = 0;
  int64_t finals = 0;
  int64_t branches = 0;
  int64_t branch_finals = 0;
  int64_t end = 0;
};
TraceLayout trace_layout(int64_t num_tokens, int64_t num_states, int64_t d_model,
                         int64_t num_marks = 0, int64_t num_branch_rows = 0);

// The parts of the record that `bytes` are, aligned to 8. An Error says what is not as a writer
// leaves it.
Result<TraceRecord> parse_trace(std::span<const uint8_t> bytes);

}  // namespace forerun
