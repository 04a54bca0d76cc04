#pragma once

#include <cstdint>
#include <span>

#include "base/parallel.h"
#include "base/result.h"
#include "sampling/distribution.h"
#include "sampling/noise.h"
#include "sampling/params.h"
#include "sampling/penalty_state.h"

namespace forerun {

// What one token is sampled from, beside its logits.
struct SamplePoint {
  const SamplingParams& params;             // validated
  const PenaltyState* penalties = nullptr;  // may be null when params.has_penalties() is false
  // Grammar: bit t of word t / 32, lowest first, says token t may come next. Empty: no grammar.
  // The initializer lets {params} stand alone under -Wextra.
  std::span<const uint32_t> allowed = {};  // NOLINT(readability-redundant-member-init)
  NoiseKey noise = {};
};

struct Sampled {
  int32_t token_id;
  // What it was sampled from; greedily, what it would have been at temperature 1 without filters.
  // Points into the workspace or the logits: valid until the workspace samples again.
  Distribution distribution;
};

// The next token: a pure function of its arguments (docs/architecture.md, promise 1), the same bits
// on every ISA. logits [vocab_size] are left as they are.
//
//   logit bias, penalties (repetition, frequency, presence), grammar mask,
//   score = logit * (1 / temperature), top-k, top-p, min-p,
//   argmax over the kept tokens of score + gumbel_noise(noise, token id); ties to the lowest id.
//
// A temperature below kGreedyTemperature takes the highest logit after the mask, ties to the lowest
// id; no filter can change that. An Error when any logit, allowed or not, is NaN or +infinity
// before or after bias and penalties, when a score overflows, or when no token is allowed.
// -infinity is a logit like any other: its token is never chosen. Nothing is allocated unless an
// Error is returned.
Result<Sampled> sample(std::span<const float> logits, const SamplePoint& point,
                       SamplerWorkspace& workspace);

// --- one row shared by a team ---------------------------------------------------------------
//
// For a request without bias, penalties, grammar and filters the best token of a vocabulary is the
// best of its ranges' best tokens: best_in_range() on every member, then better_of() in any order,
// then token_of(), give what sample() gives. sample_divided() does all three.

bool divisible(const SamplePoint& point, int vocab_size);

struct RangeBest {
  Candidate candidate;  // token_id -1: no token of the range can be chosen
  bool finite;
};

// `begin` is a multiple of kVocabBlock, or the range is empty. Members may share the workspace when
// their ranges are apart.
RangeBest best_in_range(std::span<const float> logits, const SamplePoint& point, int begin, int end,
                        SamplerWorkspace& workspace);
RangeBest better_of(const RangeBest& a, const RangeBest& b);
Result<int32_t> token_of(const RangeBest& best, std::span<const float> logits);

Result<int32_t> sample_divided(std::span<const float> logits, const SamplePoint& point, Team& team,
                               SamplerWorkspace& workspace);

}  // namespace forerun
