#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/request.h"
#include "engine/sequence_end.h"
#include "models/decoder.h"
#include "models/model.h"
#include "spec/speculation.h"
#include "spec/step_cost.h"

namespace forerun {

struct EngineOptions {
  int max_sequences = 64;  // decoding together
  int64_t kv_tokens = 0;   // room for keys and values; 0: eight contexts or an eighth of the
                           // machine's memory, whichever is less
  // Takes the memory for keys and values from the kernel at once, not as tokens come.
  bool commit_kv = false;
  // How keys and values are stored; none: as KernelTable::kv_type says for the instruction set.
  std::optional<KvType> kv_type;
  int max_step_rows = 512;  // tokens of one step
  // A step's predicted time stays under this while something decodes, so that prefill does not
  // stall it; 0: four times what the step's decoding alone would take. One prompt moves on by a
  // token a step even where decoding takes all of it.
  double max_step_ms = 0.0;
  // Keeps, beside every token's keys and values, the states a speculator feeds on: the residual
  // stream entering each of tap_layers(), in bf16 (engine/state.h reads them).
  bool keep_states = false;
  // And, with those, what the output matrix is multiplied with: the target distribution follows
  // from it.
  bool keep_finals = false;
  // And of every choice that may be learnt from (Request::conversation), with keep_finals, at most
  // so many drafted tokens that were verified in vain, the newest; but room for a draft, if any.
  int64_t max_rejected_rows = 0;
  // Called as every choice ends, on the thread of step(); it may not add or cancel.
  std::function<void(const SequenceEnd&)> on_sequence_end;
  SpeculationOptions speculation;
  // Threads of a smaller team that steps are timed with at load, too, since set_threads() may ask
  // for it: below the team's size; 0: there is none.
  int smaller_team = 0;
  std::vector<int32_t> eos_ids;
  // The bytes each token id stands for, for stop strings; may be empty when none are used.
  std::vector<std::string> token_bytes;
};

struct EngineStats {
  int threads = 0;      // that make the steps
  int64_t running = 0;  // sequences holding keys and values
  int64_t waiting = 0;  // sequences
  int64_t steps = 0;
  int64_t prompt_tokens = 0;  // computed, not counting cached ones
  int64_t generated_tokens = 0;
  int64_t preemptions = 0;
  double forward_seconds = 0.0;  // in the model; the rest of the steps is ours
  double mask_seconds = 0.0;     // waited, after the model, for the masks of grammars
  // What steps took from the model's begin to their last token, and by how much that differed from
  // what was predicted, summed without sign.
  double step_seconds = 0.0;
  double mispredicted_seconds = 0.0;
  double timed_seconds = 0.0;  // that steps would have taken as they were timed at first
  double keep_seconds = 0.0;   // taken by keeping states
  int64_t prefix_queries = 0;  // tokens
  int64_t prefix_hits = 0;     // tokens
  int64_t head_version = 0;    // that was offered and drafts; 0: none
  int64_t head_swaps = 0;
  double head_swap_seconds = 0.0;  // that the last one took between two steps
  SpeculationStats speculation;
  int kv_pages = 0;
  int kv_pages_in_use = 0;
};

// What an engine has done since its begin, for whoever watches from another thread: sums over all
// steps.
struct EngineLoad {
  double busy_seconds = 0.0;
  double sequence_seconds = 0.0;  // a step's times the sequences that held keys and values
  double key_seconds = 0.0;       // a step's times the positions attended to
  // That the steps' models would have taken as they were timed at load, by all threads and by the
  // smaller team.
  double timed_seconds = 0.0;
  double timed_smaller_seconds = 0.0;
  int64_t generated_tokens = 0;
};

struct EngineState;
struct ReadyHead;

// Continuous batching over one model: requests go in, every step() moves all of them on, tokens
// come out through the requests' callbacks. One thread calls everything; step() uses the team the
// model's decoder was given. What a request gets depends on nothing but the request, the model and
// the instruction set (docs/architecture.md, promise 1).
class Engine final {
 public:
  // Borrows the model and the team, all of whose threads make steps at first. Times a few steps
  // (some 0.1 s on a small model; as much again for a smaller team). An Error says which option
  // cannot be met.
  static Result<std::unique_ptr<Engine>> create(const Model& model, const KernelTable& kernels,
                                                Team& team, EngineOptions options);
  ~Engine();

  // Queues a request. An Error names the field and the limit; nothing is queued then.
  Result<RequestId> add(Request request);

  // Takes effect at the next step: its choices finish as cancelled and their memory is free.
  // Unknown and finished ids are ignored.
  void cancel(RequestId id);

  // Moves everything on by one forward pass. False when there was nothing to do. Allocates nothing
  // except while a request gets its first place or an error is reported.
  bool step();

  // Which sources draft, from the next step on; for measurements.
  void set_active_sources(const ActiveSources& active);

  // Steps are made by so many threads, 1 … threads(), from the next one on: those left out sleep.
  // From any thread; no answer depends on it. What steps cost is learned for each size apart.
  void set_threads(int threads);
  int threads() const;  // of the team; never changes

  // --- With SpeculationOptions::head_slot, from one other thread, also while step() runs.
  // A head that reads the layers whose states the engine keeps, and all that its drafting takes.
  // Nothing of the engine is touched.
  Result<std::unique_ptr<ReadyHead>> make_ready(std::shared_ptr<const Eagle3Head> head,
                                                int64_t version) const;
  // Drafts from the next step on, in the place of the one that does; a head of none: none does.
  void offer_head(std::unique_ptr<ReadyHead> head);
  // Destroys heads that have drafted.
  void collect_heads();
  // Whether there are requests, whose steps somebody waits for.
  bool is_busy() const;

  // What may be drafted from beyond requests, to a file and back. Not while step() runs. An Error
  // says what cannot be written or read.
  Status save_history(const std::string& path) const;
  Status restore_history(const std::string& path);

  // Forgets cached prefixes.
  void flush_prefix_cache();

  EngineStats stats() const;
  // From any thread, while step() runs.
  EngineLoad load() const;
  // Of the model's steps by the team as large as it is, as they have come out for minutes
  // (StepAverages). Not while step() runs, as in on_sequence_end.
  StepCost average_cost() const;
  // By a team of so many threads: what was timed at load, scaled as the one that works has come
  // out. What was seen of the other size is of other minutes.
  StepCost average_cost(int threads) const;
  Decoder& decoder();
  // Weights, instruction set, key/value type and engine version: what "same tokens" is promised
  // for.
  const std::string& fingerprint() const;
  int64_t context_length() const;  // tokens a sequence may hold

 private:
  explicit Engine(std::unique_ptr<EngineState> state);
  std::unique_ptr<EngineState> state_;
};

}  // namespace forerun
