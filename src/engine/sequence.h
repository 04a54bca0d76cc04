#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cache/kv_cache.h"
#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "sampling/penalty_state.h"

namespace forerun {

// A request under way: what its choices share.
struct ActiveRequest {
  RequestId id = 0;
  Request request;
  uint64_t seed = 0;
  int64_t max_tokens = 0;     // per choice, cut to what context and memory hold
  int64_t cached_tokens = 0;  // of the prompt, found in the prefix cache when it was first admitted
  int unfinished = 0;         // choices
};

// One choice of a request: its tokens, its keys and values, and what sampling needs to know. Every
// list is reserved when it is made, so that steps allocate nothing.
struct Sequence {
  ActiveRequest* request = nullptr;
  int choice = 0;
  std::vector<int32_t> tokens;  // prompt, then output
  int64_t prompt_tokens = 0;
  KvSequence kv;
  std::optional<PenaltyState> penalties;  // when the sampling parameters need one
  std::optional<StopMatcher> stops;       // when there are stop strings
  // Choices 1 … n−1 wait for choice 0's prompt and are forked from it.
  bool waits_for_fork = false;
  bool finished = false;

  // This step.
  int step_rows = 0;    // tokens computed by it
  int logit_row = -1;   // which logits it samples from, or −1

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t output_tokens() const { return num_tokens() - prompt_tokens; }
  // Tokens whose keys and values are not there yet.
  int64_t uncomputed() const { return num_tokens() - kv.num_tokens; }
  // Only the token just sampled is uncomputed.
  bool is_decoding() const { return uncomputed() == 1 && output_tokens() > 0; }
};

}  // namespace forerun
