#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/check.h"

namespace forerun {
namespace {

Error unusable_logits(std::span<const float> logits) {
  for (size_t id = 0; id < logits.size(); ++id) {
    const bool positive_infinity = std::isinf(logits[id]) && logits[id] > 0.0f;
    if (!std::isnan(logits[id]) && !positive_infinity) continue;
    return Error{"the model's logit of token " + std::to_string(id) + " is " +
                 (positive_infinity ? "+infinity" : "NaN") + "; a logit must be a number"};
  }
  return Error{"a logit overflows float after logit_bias, penalties and temperature"};
}

Error nothing_allowed() {
  return Error{"no token can be chosen: every logit is -infinity or forbidden by the grammar"};
}

float scale_of(const SamplingParams& params) {
  return params.greedy() ? 1.0f : 1.0f / params.temperature;
}

bool usable(const ScanResult& scan, float scale) {
  return scan.finite && scan.max_logit * scale < std::numeric_limits<float>::infinity();
}

bool has_edits(const SamplingParams& params) {
  return !params.logit_bias.empty() || params.has_penalties();
}

// Bias and penalties, on a copy; the mask is left to the scan, which has to see what lies under it.
const float* edit(std::span<const float> logits, const SamplePoint& point,
                  SamplerWorkspace& workspace) {
  const SamplingParams& params = point.params;
  float* edited = workspace.processed_logits();
  std::copy(logits.begin(), logits.end(), edited);
  for (const LogitBias& entry : params.logit_bias) edited[entry.token_id] += entry.bias;
  if (params.has_penalties()) {
    CHECK(point.penalties != nullptr, "parameters with penalties need a PenaltyState");
    point.penalties->apply(params, edited);
  }
  return edited;
}

void apply_filters(const SamplingParams& params, Distribution& distribution,
                   SamplerWorkspace& workspace) {
  if (params.top_k > 0 && params.top_k < workspace.vocab_size()) {
    keep_top_k(distribution, params.top_k, workspace);
  }
  if (params.top_p < 1.0f) keep_top_p(distribution, params.top_p, workspace);
  if (params.min_p > 0.0f) keep_min_p(distribution, params.min_p);
}

void check_sizes(std::span<const float> logits, const SamplePoint& point,
                 const SamplerWorkspace& workspace) {
  CHECK(static_cast<int>(logits.size()) == workspace.vocab_size(),
        "logits and workspace differ in vocabulary size");
  CHECK(point.allowed.empty() || point.allowed.size() * 32 >= logits.size(),
        "grammar mask is shorter than the vocabulary");
}

}  // namespace

Result<Sampled> sample(std::span<const float> logits, const SamplePoint& point,
                       SamplerWorkspace& workspace) {
  check_sizes(logits, point, workspace);
  const VocabKernels& kernels = workspace.kernels();
  const int vocab_size = workspace.vocab_size();
  const float scale = scale_of(point.params);
  const float* edited = has_edits(point.params) ? edit(logits, point, workspace) : logits.data();
  const uint32_t* allowed = point.allowed.empty() ? nullptr : point.allowed.data();
  const ScanResult scan = kernels.scan(edited, allowed, workspace.processed_logits(),
                                       /*begin=*/0, vocab_size, workspace.cell_max());
  const float* processed = allowed == nullptr ? edited : workspace.processed_logits();
  if (!usable(scan, scale)) return unusable_logits(logits);
  if (scan.token_id < 0) return nothing_allowed();

  Sampled sampled = {
      scan.token_id,
      {{processed, workspace.cell_max(), vocab_size, scale}, scan.max_logit * scale, Cut{}}};
  if (point.params.greedy()) return sampled;
  apply_filters(point.params, sampled.distribution, workspace);
  sampled.token_id =
      kernels
          .best_with_noise(sampled.distribution.view, point.noise, sampled.distribution.cut,
                           /*begin=*/0, vocab_size, scan.token_id)
          .token_id;
  return sampled;
}

bool divisible(const SamplePoint& point, int vocab_size) {
  return !has_edits(point.params) && point.allowed.empty() &&
         (point.params.greedy() || !point.params.has_filters(vocab_size));
}

RangeBest best_in_range(std::span<const float> logits, const SamplePoint& point, int begin, int end,
                        SamplerWorkspace& workspace) {
  check_sizes(logits, point, workspace);
  CHECK(divisible(point, workspace.vocab_size()), "this request needs the vocabulary in one piece");
  if (begin >= end) return {{-std::numeric_limits<float>::infinity(), -1}, /*finite=*/true};
  CHECK(begin % kVocabBlock == 0, "a range begins at a multiple of kVocabBlock");
  const VocabKernels& kernels = workspace.kernels();
  const float scale = scale_of(point.params);
  const ScanResult scan = kernels.scan(logits.data(), /*allowed=*/nullptr, /*masked=*/nullptr,
                                       begin, end, workspace.cell_max());
  const RangeBest greediest = {{scan.max_logit, scan.token_id}, usable(scan, scale)};
  if (!greediest.finite || scan.token_id < 0 || point.params.greedy()) return greediest;
  const ScoreView view = {logits.data(), workspace.cell_max(), workspace.vocab_size(), scale};
  return {kernels.best_with_noise(view, point.noise, Cut{}, begin, end, scan.token_id),
          /*finite=*/true};
}

RangeBest better_of(const RangeBest& a, const RangeBest& b) {
  const bool finite = a.finite && b.finite;
  if (a.candidate.token_id < 0) return {b.candidate, finite};
  if (b.candidate.token_id < 0) return {a.candidate, finite};
  const bool take_b =
      b.candidate.value > a.candidate.value ||
      (b.candidate.value == a.candidate.value && b.candidate.token_id < a.candidate.token_id);
  return {take_b ? b.candidate : a.candidate, finite};
}

Result<int32_t> token_of(const RangeBest& best, std::span<const float> logits) {
  if (!best.finite) return unusable_logits(logits);
  if (best.candidate.token_id < 0) return nothing_allowed();
  return best.candidate.token_id;
}

Result<int32_t> sample_divided(std::span<const float> logits, const SamplePoint& point, Team& team,
                               SamplerWorkspace& workspace) {
  constexpr int kMaxMembers = 64;
  RangeBest best[kMaxMembers];
  const int members = std::min(team.size(), kMaxMembers);
  team.run([&](int member) {
    if (member >= members) return;
    const Range range = share_of(static_cast<int64_t>(logits.size()), member, members, kVocabBlock);
    best[member] = best_in_range(logits, point, static_cast<int>(range.begin),
                                 static_cast<int>(range.end), workspace);
  });
  for (int member = 1; member < members; ++member) best[0] = better_of(best[0], best[member]);
  return token_of(best[0], logits);
}

}  // namespace forerun
