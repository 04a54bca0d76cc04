#include "sampling/logprobs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "sampling/params.h"

namespace forerun {
namespace {

bool before(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.token_id < b.token_id);
}

// Which of two prefixes of the same order is shorter.
bool shorter(const Cut& a, const Cut& b) {
  return a.score > b.score || (a.score == b.score && a.last_id < b.last_id);
}

class LogNormalizer {
 public:
  LogNormalizer(const Distribution& distribution, SamplerWorkspace& workspace)
      : log_sum_(distribution.max_score +
                 std::log(static_cast<double>(kept_mass(distribution, workspace)) / kMassOne)) {}

  float logprob(float score) const { return static_cast<float>(score - log_sum_); }

 private:
  double log_sum_;
};

// The first tokens of the order, sorted.
int first_tokens(const Distribution& distribution, std::span<Candidate> tokens,
                 SamplerWorkspace& workspace) {
  Distribution first = distribution;
  first.cut = Cut{};
  const auto count = static_cast<int>(tokens.size());
  if (count < distribution.view.num_tokens) keep_top_k(first, count, workspace);
  const Cut& cut = shorter(first.cut, distribution.cut) ? first.cut : distribution.cut;
  const int num_found = workspace.kernels().collect(distribution.view, cut, tokens.data(), count);
  std::sort(tokens.begin(), tokens.begin() + num_found, before);
  return num_found;
}

}  // namespace

Result<Distribution> raw_distribution(std::span<const float> logits, SamplerWorkspace& workspace) {
  CHECK(static_cast<int>(logits.size()) == workspace.vocab_size(),
        "logits and workspace differ in vocabulary size");
  const ScanResult scan =
      workspace.kernels().scan(logits.data(), /*allowed=*/nullptr, /*masked=*/nullptr, /*begin=*/0,
                               workspace.vocab_size(), workspace.raw_cell_max());
  if (!scan.finite) return Error{"the model's logits hold NaN or +infinity"};
  if (scan.token_id < 0) return Error{"the model's logits are all -infinity"};
  return Distribution{
      {logits.data(), workspace.raw_cell_max(), workspace.vocab_size(), /*scale=*/1.0f},
      scan.max_logit,
      Cut{}};
}

Logprobs logprobs_of(const Distribution& distribution, int32_t token_id,
                     std::span<TokenLogprob> top, SamplerWorkspace& workspace) {
  CHECK(top.size() <= kMaxTopLogprobs, "more log-probs than kMaxTopLogprobs");
  const LogNormalizer normalizer(distribution, workspace);
  const float score = distribution.score(token_id);
  Logprobs result = {-std::numeric_limits<float>::infinity(), 0};
  if (distribution.cut.keeps(score, token_id)) result.chosen = normalizer.logprob(score);
  if (top.empty()) return result;

  std::array<Candidate, kMaxTopLogprobs> tokens;
  result.num_top = first_tokens(distribution, {tokens.data(), top.size()}, workspace);
  for (int i = 0; i < result.num_top; ++i) {
    top[i] = {tokens[i].token_id, normalizer.logprob(tokens[i].value)};
  }
  return result;
}

}  // namespace forerun
