#include <algorithm>
#include <array>

#include "engine/rejected_rows.h"
#include "engine/state.h"

namespace forerun {
namespace {

// Of one sequence and step: what was drafted behind its first `base` tokens, and their slots.
struct Verified {
  RejectedRows& kept;
  std::span<const int32_t> draft;
  std::span<const int32_t> parents;  // empty: a chain
  int64_t base;
  KeptStates finals;

  int parent_of(int node) const { return parents.empty() ? node - 1 : parents[node]; }
};

// Keeps what hangs from drafted token `from` (−1: from the text before the draft), the `followed`
// tokens up to it having come, and `chosen` having come behind it.
void keep_branches(const Verified& verified, int from, int followed, int32_t chosen) {
  struct Kept {
    int64_t row = -1;
    int32_t depth = 0;
  };
  std::array<Kept, kMaxDraft> kept;  // of each drafted token
  int64_t num_kept = 0;
  for (int node = from + 1; node < static_cast<int>(verified.draft.size()); ++node) {
    const int parent = verified.parent_of(node);
    const bool leaves = parent == from && verified.draft[node] != chosen;
    const bool goes_on = parent > from && kept[parent].row >= 0;
    if (!leaves && !goes_on) continue;
    kept[node] = {num_kept, leaves ? followed + 1 : kept[parent].depth + 1};
    RejectedRow row;
    row.position = verified.base - 1 + followed;
    row.parent_distance = goes_on ? static_cast<int32_t>(num_kept - kept[parent].row) : 0;
    row.depth = kept[node].depth;
    row.token = verified.draft[node];
    verified.kept.push(row, verified.finals.at(verified.base + node));
    ++num_kept;
  }
}

}  // namespace

void keep_rejected(EngineState& state, Sequence& sequence, std::span<const int32_t> output) {
  if (sequence.rejected == nullptr || sequence.num_drafted == 0) return;
  const Verified verified = {.kept = *sequence.rejected,
                             .draft = legal_draft(state, sequence),
                             .parents = state.speculator->parents_of(sequence.draft_place),
                             .base = sequence.kv.num_tokens,
                             .finals = {&state.cache.pool(), kFinalsArray, sequence.kv.pages}};
  // What hangs behind the output's end was never judged.
  const size_t judged = std::min(output.size(), sequence.path.size() + 1);
  for (size_t followed = 0; followed < judged; ++followed) {
    const int from = followed == 0 ? -1 : static_cast<int>(sequence.path[followed - 1]);
    keep_branches(verified, from, static_cast<int>(followed), output[followed]);
  }
}

}  // namespace forerun
