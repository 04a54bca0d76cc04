#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache/kv_cache.h"
#include "engine/engine.h"
#include "engine/head_slot.h"
#include "engine/load_meter.h"
#include "engine/mask_maker.h"
#include "engine/sequence.h"
#include "models/decoder.h"
#include "sampling/sampler.h"
#include "spec/speculator.h"
#include "spec/step_averages.h"
#include "spec/step_cost.h"
#include "spec/team_costs.h"
#include "tensor/buffer.h"

namespace forerun {

// Of a step, rows of logits that predict prompt tokens: a prompt with log-probs is computed in
// chunks that hold no more. They come on top of the row each sequence may sample from.
constexpr int kMaxPromptLogits = 64;

// Of the pool's side arrays, where states are kept.
constexpr int kStatesArray = 0;
constexpr int kFinalsArray = 1;  // with keep_finals

// A token on its way to emit_tokens.cc: sampled, or of the prompt.
struct SampleResult {
  Sequence* sequence = nullptr;  // of a prompt's token
  int logit_row = -1;
  int32_t token_id = -1;
  std::optional<Error> error;
  bool grammar_ended = false;  // nothing may follow: there is no token
  std::optional<float> logprob;
  int num_top = 0;
  std::array<TokenLogprob, kMaxTopLogprobs> top;
};

// Everything the engine's actions work on, each in a file of its own. One step runs them in this
// order: resize_team, swap_head, cancel_requests, admit, plan_step (with draft_tokens), forward,
// fork_choices, score_prompts, sample_tokens, emit_tokens.
struct EngineState {
  EngineState(const Model& model, const KernelTable& kernels, Team& team, EngineOptions options,
              int num_pages);

  const Model& model;
  Team& team;
  EngineOptions options;
  std::string fingerprint;
  Decoder decoder;
  KvCache cache;
  StepCost cost;               // by the team as large as it is
  int64_t sequence_limit = 0;  // tokens of one sequence: context, or all memory if less

  RequestId next_id = 1;
  std::unordered_map<RequestId, std::unique_ptr<ActiveRequest>> requests;
  std::vector<std::unique_ptr<Sequence>> sequences;  // all that are not finished
  std::vector<Sequence*> waiting;                    // in order of arrival, preempted ones first
  std::vector<Sequence*> running;                    // in order of admission
  std::vector<RequestId> cancelled;
  bool stepping = false;
  std::atomic<bool> busy{false};  // there are requests; read by other threads

  // The step being made.
  std::vector<int32_t> step_tokens;
  std::vector<RowGroup> step_groups;
  std::vector<int32_t> step_logit_rows;
  std::vector<int32_t> step_parents;  // of the rows of drafts that are trees
  std::vector<Sequence*> step_sequences;
  int step_prompt_logits = 0;
  StepWork step_work;
  std::array<Buffer, kNumTaps> tap_memory;  // [max_step_rows, d_model] each, with keep_states
  Buffer finals_memory;                     // [max_step_rows, d_model], with keep_finals
  StateTap tap;
  std::vector<SampleResult> prompt_scores;
  std::vector<Sequence*> sampling;    // those of the step whose next logits are there
  std::vector<SampleResult> samples;  // theirs, one after the other
  std::vector<std::unique_ptr<SamplerWorkspace>> workspaces;  // one a team member
  std::unique_ptr<MaskMaker> mask_maker;                      // since the first grammar came

  // With SpeculationOptions::head_slot: the head that drafts, whose drafter the speculator has, and
  // where the next one comes.
  std::unique_ptr<ReadyHead> head = std::make_unique<ReadyHead>();
  HeadSlot head_slot;
  std::unique_ptr<Speculator> speculator;  // null: nothing is drafted

  StepCost first_cost;  // as it was timed; of the model, by the team as large as it is
  TeamCosts team_costs;
  // By the team's size, from 0.
  std::vector<StepAverages> averages{static_cast<size_t>(team.capacity()) + 1};
  std::atomic<int> wanted_threads;  // of the team, from the next step on

  LoadMeter load;
  EngineStats stats;
};

// An Error names the field and the limit.
Status check_request(const EngineState& state, const Request& request);
// Takes in a checked request: its choices wait.
RequestId queue_request(EngineState& state, Request request);
// Gives a sequence its lists, when it gets a place for the first time.
void make_lists(EngineState& state, Sequence& sequence);

// Makes the team as large as it was asked to be.
void resize_team(EngineState& state);
// Lets the head that was offered draft from now on.
void swap_head(EngineState& state);
// Finishes what was cancelled.
void cancel_requests(EngineState& state);
// Moves waiting sequences to running while there is room for their tokens.
void admit(EngineState& state);
// Chooses the step's rows: a token of everything that decodes and what is drafted behind it, then
// prompts in chunks. Preempts the newest sequence when memory runs out, though never for a draft.
void plan_step(EngineState& state);
// What a step may take, in seconds: the option's time, or four steps of what decodes in it.
double step_budget(const EngineState& state, const StepWork& decoding);
// Drafts for the step's sequences that decode, as much as is worth verifying. `decoding` is the
// step's work without prefill and drafts.
void draft_tokens(EngineState& state, const StepWork& decoding);
// Runs the model and records what is computed; drafts are recorded when they are accepted.
void forward(EngineState& state);
// The keys and values of the sequence's first `computed` tokens are there.
void commit(EngineState& state, Sequence& sequence, int64_t computed);
// With keep_states: puts the tap's rows beside their keys and values.
void keep_states(EngineState& state);
// Starts a request's other choices from the prompt its first one has just computed.
void fork_choices(EngineState& state);
// Log-probs of the prompt tokens that the step's logits predict.
void score_prompts(EngineState& state);
// Drafted tokens of the sequence that may be verified: not those that the grammar forbids.
std::span<const int32_t> legal_draft(const EngineState& state, const Sequence& sequence);
// For every sequence whose next logits are there its next token, as long as that is the drafted
// one, and the token behind; and their log-probs.
void sample_tokens(EngineState& state);
// Log-probs of `result`'s token under the model's own distribution, or an error.
void add_raw_logprobs(std::span<const float> logits, int num_top, SamplerWorkspace& workspace,
                      SampleResult& result);
// With max_rejected_rows: keeps what was drafted and is not in `output`, which came of the step.
void keep_rejected(EngineState& state, Sequence& sequence, std::span<const int32_t> output);
// Appends the tokens, calls back, ends what is done.
void emit_tokens(EngineState& state);

// The states kept for a position that is computed: bf16 [kNumTaps, d_model], by layer.
const uint16_t* kept_states(EngineState& state, const Sequence& sequence, int64_t position);

// All of that, once. False when there was nothing to do.
bool run_step(EngineState& state);

// Ends a choice: frees its memory and calls back.
void finish(EngineState& state, Sequence& sequence, FinishEvent event);
// Drops finished sequences and requests from the lists.
void sweep(EngineState& state);

}  // namespace forerun
