#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "sampling/distribution.h"

namespace forerun {

struct TokenLogprob {
  int32_t token_id;
  float logprob;
};

struct Logprobs {
  float chosen;  // of the token asked for; -infinity when a filter or the grammar leaves it out
  int num_top;   // entries written to `top`
};

// The model's own distribution, for LogprobMode::kRaw and for prompt tokens. sample() leaves the
// logits as they are, so this may come before or after it. Points into the logits and the
// workspace. An Error when a logit is NaN or +infinity, or when all are -infinity.
Result<Distribution> raw_distribution(std::span<const float> logits, SamplerWorkspace& workspace);

// Log-probabilities under `distribution`: score - max_score - log of the sum of exp, where the sum
// is one of integers (vocab_kernels.h) and the rest is double, rounded to float once.
//
// For LogprobMode::kProcessed give sample()'s distribution: of the tokens kept, after bias,
// penalties, grammar mask and temperature. At temperature 0, which has no probabilities, that is
// the one at temperature 1 without filters, as other engines report it.
//
// top [n]: the n most probable tokens in descending order, ties by ascending id; fewer when fewer
// are kept. n <= kMaxTopLogprobs. Nothing is allocated.
Logprobs logprobs_of(const Distribution& distribution, int32_t token_id,
                     std::span<TokenLogprob> top, SamplerWorkspace& workspace);

}  // namespace forerun
