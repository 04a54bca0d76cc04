#pragma once

#include <string>
#include <vector>

#include "spec/speculation.h"

namespace forerun {

// Figures that people and programs are told of drafts.

inline double share(int64_t part, int64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Tokens that a draft brings: what is accepted of it, and the one that follows.
inline double acceptance_length(int64_t drafts, int64_t accepted_tokens) {
  return 1.0 + share(accepted_tokens, drafts);
}

// Of the drafts, those whose token at each place was accepted, as far as any was.
inline std::vector<double> accepted_by_place(const SpeculationStats& stats) {
  std::vector<double> shares;
  for (const int64_t accepted : stats.accepted_at) {
    if (accepted == 0) break;
    shares.push_back(share(accepted, stats.drafts));
  }
  return shares;
}

// The name of DraftTokensBySource's entry `source`.
inline std::string source_name(int source) {
  return std::string(draft_source_name(static_cast<DraftSource>(source)));
}

}  // namespace forerun
