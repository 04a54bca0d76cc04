#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache/kv_cache.h"
#include "engine/engine.h"
#include "engine/sequence.h"
#include "engine/step_cost.h"
#include "models/decoder.h"
#include "sampling/sampler.h"

namespace forerun {

// A sampled token on its way from sample.cc to emit.cc.
struct SampleResult {
  Sequence* sequence = nullptr;
  int32_t token_id = -1;
  std::optional<Error> error;
  std::optional<float> logprob;
  int num_top = 0;
  std::array<TokenLogprob, kMaxTopLogprobs> top;
};

// Everything the engine's actions work on. One step runs them in this order, each in a file of its
// own: admit, plan_step, forward, fork_choices, sample_tokens, emit_tokens.
struct EngineState {
  EngineState(const Model& model, const KernelTable& kernels, Team& team, EngineOptions options,
              int num_pages);

  const Model& model;
  Team& team;
  EngineOptions options;
  std::string fingerprint;
  Decoder decoder;
  KvCache cache;
  StepCost cost;
  double max_step_seconds = 0.0;
  int64_t sequence_limit = 0;  // tokens of one sequence: context, or all memory if less

  RequestId next_id = 1;
  std::unordered_map<RequestId, std::unique_ptr<ActiveRequest>> requests;
  std::vector<std::unique_ptr<Sequence>> sequences;  // all that are not finished
  std::vector<Sequence*> waiting;                    // in order of arrival, preempted ones first
  std::vector<Sequence*> running;                    // in order of admission
  std::vector<RequestId> cancelled;

  // The step being made.
  std::vector<int32_t> step_tokens;
  std::vector<RowGroup> step_groups;
  std::vector<int32_t> step_logit_rows;
  std::vector<Sequence*> step_sequences;
  int64_t step_keys = 0;
  std::vector<SampleResult> samples;
  std::vector<std::unique_ptr<SamplerWorkspace>> workspaces;  // one a team member

  EngineStats stats;
};

// Finishes what was cancelled.
void cancel_requests(EngineState& state);
// Moves waiting sequences to running while there is room for their tokens.
void admit(EngineState& state);
// Chooses the step's rows: a token of everything that decodes, then prompts in chunks. Preempts the
// newest sequence when memory runs out.
void plan_step(EngineState& state);
// Runs the model, records what is computed, learns what it cost.
void forward(EngineState& state);
// Starts a request's other choices from the prompt its first one has just computed.
void fork_choices(EngineState& state);
// One token for every sequence whose next logits are there, and its log-probs.
void sample_tokens(EngineState& state);
// Appends the tokens, calls back, ends what is done.
void emit_tokens(EngineState& state);

// Ends a choice: frees its memory and calls back.
void finish(EngineState& state, Sequence& sequence, FinishEvent event);
// Drops finished sequences and requests from the lists.
void sweep(EngineState& state);

}  // namespace forerun
