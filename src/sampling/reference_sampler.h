#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "sampling/noise.h"
#include "sampling/params.h"

namespace forerun {

// The sampler's definition in plain loops, full sorts and double, for tests.

inline std::vector<float> reference_processed(std::vector<float> logits,
                                              const SamplingParams& params,
                                              const std::vector<int32_t>& prompt,
                                              const std::vector<int32_t>& output,
                                              const std::vector<bool>& allowed) {
  for (const LogitBias& entry : params.logit_bias) logits[entry.token_id] += entry.bias;
  for (int id = 0; id < static_cast<int>(logits.size()); ++id) {
    const auto count = static_cast<float>(std::count(output.begin(), output.end(), id));
    const bool seen = count > 0 || std::count(prompt.begin(), prompt.end(), id) > 0;
    float& logit = logits[id];
    if (seen && params.repetition_penalty != 1.0f) {
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
    if (count > 0) logit = logit - params.frequency_penalty * count - params.presence_penalty;
    if (!allowed.empty() && !allowed[id]) logit = -std::numeric_limits<float>::infinity();
  }
  return logits;
}

// Ids that can be chosen at all, by descending score, then ascending id.
inline std::vector<int32_t> reference_order(const std::vector<float>& scores) {
  std::vector<int32_t> ids(scores.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::erase_if(ids, [&](int32_t id) { return std::isinf(scores[id]); });
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
  return ids;
}

inline std::vector<float> reference_scores(std::vector<float> logits,
                                           const SamplingParams& params) {
  for (float& logit : logits) logit *= 1.0f / params.temperature;
  return logits;
}

// The prefix of reference_order() that the filters keep.
inline std::vector<int32_t> reference_kept(const std::vector<float>& scores,
                                           const SamplingParams& params) {
  std::vector<int32_t> ids = reference_order(scores);
  if (params.top_k > 0 && params.top_k < static_cast<int>(ids.size())) ids.resize(params.top_k);
  const double max = scores[ids[0]];
  if (params.top_p < 1.0f) {
    double total = 0.0;
    for (int32_t id : ids) total += std::exp(scores[id] - max);
    double sum = 0.0;
    size_t count = 0;
    while (count < ids.size() && sum < static_cast<double>(params.top_p) * total) {
      sum += std::exp(scores[ids[count++]] - max);
    }
    ids.resize(std::max<size_t>(count, 1));
  }
  if (params.min_p > 0.0f) {
    std::erase_if(ids, [&](int32_t id) {
      return std::exp(scores[id] - max) < static_cast<double>(params.min_p);
    });
  }
  return ids;
}

inline int32_t reference_sample(const std::vector<float>& processed, const SamplingParams& params,
                                const NoiseKey& noise) {
  if (params.greedy()) return reference_order(processed)[0];
  const std::vector<float> scores = reference_scores(processed, params);
  std::vector<int32_t> kept = reference_kept(scores, params);
  std::sort(kept.begin(), kept.end());
  return *std::max_element(kept.begin(), kept.end(), [&](int32_t a, int32_t b) {
    return scores[a] + gumbel_noise(noise, a) < scores[b] + gumbel_noise(noise, b);
  });
}

}  // namespace forerun
