#include <algorithm>

#include "base/clock.h"
#include "engine/state.h"

namespace forerun {
namespace {

SamplePoint point_of(const Sequence& sequence, int choice) {
  const ActiveRequest& request = *sequence.request;
  SamplePoint point{request.request.sampling};
  if (sequence.penalties) point.penalties = &*sequence.penalties;
  if (sequence.grammar) point.allowed = sequence.grammar->allowed();
  // The token to come stands behind all there are.
  point.noise = {request.seed, static_cast<uint32_t>(choice),
                 static_cast<uint32_t>(sequence.num_tokens())};
  return point;
}

void take_logprobs(const Distribution& distribution, int num_top, SamplerWorkspace& workspace,
                   SampleResult& result) {
  const std::span<TokenLogprob> top(result.top.data(), num_top);
  const Logprobs logprobs = logprobs_of(distribution, result.token_id, top, workspace);
  result.logprob = logprobs.chosen;
  result.num_top = logprobs.num_top;
}

// Log-probs of the token just sampled.
void add_logprobs(const SamplingParams& params, std::span<const float> logits,
                  const Distribution& processed, SamplerWorkspace& workspace,
                  SampleResult& result) {
  if (params.logprobs == LogprobMode::kRaw) {
    add_raw_logprobs(logits, params.top_logprobs, workspace, result);
  } else {
    take_logprobs(processed, params.top_logprobs, workspace, result);
  }
}

void sample_row(std::span<const float> logits, const SamplePoint& point,
                SamplerWorkspace& workspace, SampleResult& result) {
  if (result.error || result.grammar_ended) return;
  const Result<Sampled> sampled = sample(logits, point, workspace);
  if (!sampled.ok()) {
    result.error = sampled.error();
    return;
  }
  result.token_id = sampled->token_id;
  if (point.params.logprobs != LogprobMode::kNone) {
    add_logprobs(point.params, logits, sampled->distribution, workspace, result);
  }
}

// The members search a range of the vocabulary each.
void sample_together(EngineState& state, std::span<const float> logits, const SamplePoint& point,
                     SampleResult& result) {
  const Result<int32_t> token = sample_divided(logits, point, state.team, *state.workspaces[0]);
  if (token.ok()) {
    result.token_id = *token;
  } else {
    result.error = token.error();
  }
}

// Lets the masks that were made during the forward pass be read.
void take_masks(EngineState& state) {
  const auto has_grammar = [](const SampleResult& result) {
    return result.sequence->grammar != nullptr;
  };
  if (std::ranges::none_of(state.samples, has_grammar)) return;
  const double begin = now_seconds();
  state.mask_maker->wait();
  state.stats.mask_seconds += now_seconds() - begin;
  for (SampleResult& result : state.samples) {
    if (!has_grammar(result)) continue;
    result.error = result.sequence->grammar->error();
    result.grammar_ended = result.sequence->grammar->ended();
  }
}

}  // namespace

void add_raw_logprobs(std::span<const float> logits, int num_top, SamplerWorkspace& workspace,
                      SampleResult& result) {
  const Result<Distribution> raw = raw_distribution(logits, workspace);
  if (raw.ok()) {
    take_logprobs(*raw, num_top, workspace, result);
  } else {
    result.error = raw.error();
  }
}

void sample_tokens(EngineState& state) {
  state.samples.clear();
  const auto vocab_size = static_cast<size_t>(state.model.descriptor().vocab_size);
  for (Sequence* sequence : state.step_sequences) {
    if (sequence->logit_row < 0) continue;
    state.samples.emplace_back();
    state.samples.back().sequence = sequence;
    state.samples.back().logit_row = sequence->logit_row;
  }
  take_masks(state);
  const auto logits_of = [&](const SampleResult& result) {
    return std::span<const float>(state.decoder.logits(result.logit_row), vocab_size);
  };
  if (state.samples.size() == 1) {
    SampleResult& result = state.samples[0];
    const SamplePoint point = point_of(*result.sequence, result.sequence->choice);
    if (divisible(point, static_cast<int>(vocab_size)) &&
        point.params.logprobs == LogprobMode::kNone) {
      return sample_together(state, logits_of(result), point, result);
    }
    return sample_row(logits_of(result), point, *state.workspaces[0], result);
  }
  if (state.samples.empty()) return;
  state.team.run([&](int member) {
    const Range mine =
        share_of(static_cast<int64_t>(state.samples.size()), member, state.team.size());
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      SampleResult& result = state.samples[i];
      sample_row(logits_of(result), point_of(*result.sequence, result.sequence->choice),
                 *state.workspaces[member], result);
    }
  });
}

}  // namespace forerun
