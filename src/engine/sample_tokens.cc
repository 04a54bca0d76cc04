#include <algorithm>

#include "base/clock.h"
#include "engine/state.h"

namespace forerun {
namespace {

// Of the token behind the sequence's tokens and `num_followed` drafted ones.
SamplePoint point_of(const Sequence& sequence, int num_followed) {
  const ActiveRequest& request = *sequence.request;
  SamplePoint point{request.request.sampling};
  if (sequence.penalties) point.penalties = &*sequence.penalties;
  if (sequence.grammar) point.allowed = sequence.grammar->allowed(num_followed);
  point.noise = noise_of(sequence, num_followed);
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
void wait_for_masks(EngineState& state) {
  const auto has_grammar = [](const Sequence* sequence) {
    return sequence->logit_row >= 0 && sequence->grammar != nullptr;
  };
  if (std::ranges::none_of(state.step_sequences, has_grammar)) return;
  const double begin = now_seconds();
  state.mask_maker->wait();
  state.stats.mask_seconds += now_seconds() - begin;
}

// One token; false when the sequence ends instead.
template <typename SampleOne>
bool sample_one(const Sequence& sequence, int num_followed, SampleResult& result,
                const SampleOne& sample_with) {
  if (sequence.grammar) {
    result.error = sequence.grammar->error();
    result.grammar_ended = sequence.grammar->ended(num_followed);
    if (result.error || result.grammar_ended) return false;
  }
  sample_with(point_of(sequence, num_followed), result);
  const std::vector<int32_t>& replay = sequence.request->request.replay;
  const auto next = static_cast<size_t>(sequence.output_tokens() + num_followed);
  if (next < replay.size()) result.token_id = replay[next];
  return !result.error;
}

// The drafted token `token` behind drafted token `node` (−1: behind what is known), or −1.
int child_of(std::span<const int32_t> draft, std::span<const int32_t> parents, int node,
             int32_t token) {
  const auto end = static_cast<int>(draft.size());
  for (int i = node + 1; i < end; ++i) {
    const int parent = parents.empty() ? i - 1 : parents[i];
    if (parent == node && draft[i] == token) return i;
  }
  return -1;
}

// Walks along the draft for as long as the tokens sampled are drafted ones. What is sampled depends
// on the tokens before it, so that a draft changes nothing but how many come in one step.
template <typename SampleOne>
void sample_sequence(EngineState& state, Sequence& sequence, const SampleOne& sample_with) {
  const std::span<const int32_t> draft = legal_draft(state, sequence);
  const std::span<const int32_t> parents =
      draft.empty() ? draft : state.speculator->parents_of(sequence.draft_place);
  sequence.num_samples = 0;
  sequence.path.clear();
  int node = -1;
  while (true) {
    const auto followed = static_cast<int>(sequence.path.size());
    SampleResult& result = state.samples[sequence.first_sample + sequence.num_samples++];
    result.logit_row = sequence.logit_row + node + 1;
    if (!sample_one(sequence, followed, result, sample_with)) break;
    node = child_of(draft, parents, node, result.token_id);
    if (node < 0) break;
    if (sequence.penalties) sequence.penalties->push(result.token_id);
    sequence.path.push_back(node);
  }
  if (sequence.penalties) sequence.penalties->pop(static_cast<int>(sequence.path.size()));
}

// A place for each token that a sequence may sample.
void make_samples(EngineState& state) {
  state.samples.clear();
  state.sampling.clear();
  for (Sequence* sequence : state.step_sequences) {
    if (sequence->logit_row < 0) continue;
    state.sampling.push_back(sequence);
    sequence->first_sample = static_cast<int>(state.samples.size());
    state.samples.resize(state.samples.size() + sequence->num_drafted + 1);
  }
}

}  // namespace

std::span<const int32_t> legal_draft(const EngineState& state, const Sequence& sequence) {
  if (sequence.num_drafted == 0) return {};
  const std::span<const int32_t> draft = state.speculator->draft_of(sequence.draft_place);
  return sequence.grammar ? draft.first(sequence.grammar->num_followed()) : draft;
}

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
  make_samples(state);
  if (state.sampling.empty()) return;
  wait_for_masks(state);
  const auto vocab_size = static_cast<size_t>(state.model.descriptor().vocab_size);
  const auto logits_of = [&](const SampleResult& result) {
    return std::span<const float>(state.decoder.logits(result.logit_row), vocab_size);
  };
  const auto sample_by = [&](SamplerWorkspace& workspace) {
    return [&](const SamplePoint& point, SampleResult& result) {
      sample_row(logits_of(result), point, workspace, result);
    };
  };
  const auto sample_by_all = [&](const SamplePoint& point, SampleResult& result) {
    const bool is_divisible = divisible(point, static_cast<int>(vocab_size)) &&
                              point.params.logprobs == LogprobMode::kNone;
    if (is_divisible) return sample_together(state, logits_of(result), point, result);
    sample_row(logits_of(result), point, *state.workspaces[0], result);
  };
  if (state.sampling.size() == 1) {
    return sample_sequence(state, *state.sampling[0], sample_by_all);
  }
  state.team.run([&](int member) {
    const Range mine =
        share_of(static_cast<int64_t>(state.sampling.size()), member, state.team.size());
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      sample_sequence(state, *state.sampling[i], sample_by(*state.workspaces[member]));
    }
  });
}

}  // namespace forerun
