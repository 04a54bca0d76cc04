#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cache/kv_cache.h"
#include "engine/grammar_progress.h"
#include "engine/rejected_rows.h"
#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "sampling/noise.h"
#include "sampling/penalty_state.h"

namespace forerun {

// A request under way: what its choices share.
struct ActiveRequest {
  RequestId id = 0;
  Request request;
  uint64_t seed = 0;
  int64_t max_tokens = 0;  // per choice, cut to what context and memory hold
  // Of the prompt, found in the prefix cache when it was first admitted.
  std::optional<int64_t> cached_tokens;
  int unfinished = 0;  // choices

  int64_t prompt_tokens() const { return static_cast<int64_t>(request.prompt.size()); }
  // That a choice may come to hold.
  int64_t most_tokens() const { return prompt_tokens() + max_tokens; }
};

// One choice of a request: its tokens, its keys and values, and what sampling needs to know. Its
// lists are made, in full length, when it first gets a place, so that a queue of requests takes
// little memory and steps allocate nothing.
struct Sequence {
  ActiveRequest* request = nullptr;
  int choice = 0;
  std::vector<int32_t> tokens;  // prompt, then output; empty before it first gets a place
  KvSequence kv;
  std::optional<PenaltyState> penalties;     // when the sampling parameters need one
  std::optional<StopMatcher> stops;          // when there are stop strings
  std::shared_ptr<GrammarProgress> grammar;  // when there is one
  // Choices 1 … n−1 wait for choice 0's prompt and are forked from it.
  bool waits_for_fork = false;
  bool finished = false;
  // The prompt token whose log-prob is told next; prompt_tokens() when none is.
  int64_t next_prompt_logprob = 0;

  int draft_place = -1;                    // in the speculator, or −1
  std::unique_ptr<RejectedRows> rejected;  // where these are kept

  // This step.
  int step_rows = 0;          // known tokens computed by it
  int num_drafted = 0;        // tokens behind them
  std::vector<int64_t> path;  // of these, by index, the ones that were sampled
  int logit_row = -1;         // which logits it samples from, the drafts' behind, or −1
  int first_sample = 0;       // of EngineState::samples
  int num_samples = 0;
  int prompt_logit_row = 0;  // the first of those that predict prompt tokens
  int num_prompt_logits = 0;

  // What is known of it: the prompt and what came out.
  std::span<const int32_t> known() const { return tokens.empty() ? prompt() : tokens; }
  std::span<const int32_t> prompt() const { return request->request.prompt; }
  int64_t num_tokens() const { return static_cast<int64_t>(known().size()); }
  int64_t prompt_tokens() const { return request->prompt_tokens(); }
  int64_t output_tokens() const { return num_tokens() - prompt_tokens(); }
  // Tokens whose keys and values are not there yet.
  int64_t uncomputed() const { return num_tokens() - kv.num_tokens; }
  bool wants_prompt_logprobs() const { return next_prompt_logprob < prompt_tokens(); }
  // Pages found in the prefix cache have no logits.
  bool may_reuse_prefix() const {
    return request->request.use_prefix_cache && !wants_prompt_logprobs();
  }
  // Only the token just sampled is uncomputed.
  bool is_decoding() const { return uncomputed() == 1 && output_tokens() > 0; }
};

// What the choice of the token behind the sequence's tokens and `num_followed` drafted ones depends
// on.
inline NoiseKey noise_of(const Sequence& sequence, int num_followed) {
  return {sequence.request->seed, static_cast<uint32_t>(sequence.choice),
          static_cast<uint32_t>(sequence.num_tokens() + num_followed)};
}

}  // namespace forerun
