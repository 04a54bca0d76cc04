#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "cache/kv_cache.h"
#include "models/decoder.h"
#include "models/eagle3_head.h"
#include "sampling/sampler.h"
#include "spec/drafter.h"
#include "spec/outcome_count.h"
#include "spec/step_cost.h"
#include "spec/team_costs.h"

namespace forerun {

// A model that drafts for a target: a smaller one of the same vocabulary, or an EAGLE-3 head. Both
// are borrowed.
struct DraftingModel {
  const ModelDescriptor* descriptor = nullptr;
  const ModelWeights* weights = nullptr;
  const Eagle3Head* head = nullptr;  // when it is one

  static DraftingModel of(const Model& model) { return {&model.descriptor(), &model.weights()}; }
  static DraftingModel of(const Eagle3Head& head) {
    return {&head.descriptor(), &head.weights(), &head};
  }
};

// Drafts chains with a model, for all sequences of a step together. Tokens are chosen as the
// target's are, with the request's own parameters and noise: where the model is sure of what the
// target is sure of, they agree at any temperature.
//
// Keys and values are its own. Of a draft model they begin with the first token. Of a head, slot s
// of a sequence is position `first` + s, where `first` moves up when the head has fallen more than
// its window behind: rotations tell nothing but distances.
class ModelDrafter final : public Drafter {
 public:
  struct Limits {
    int max_sequences = 64;
    int num_pages = 0;  // of keys and values
    int64_t target_vocab_size = 0;
    bool second_choices = false;  // are drafted, too
    bool argmax = false;          // and not the request's own noise and filters
    // What its steps are taken to take at first; none: a few are timed, by the team.
    std::optional<TeamCosts> costs = std::nullopt;
    // Of a sequence, where nothing is to be allocated later; 0: as sequences come.
    int64_t max_tokens = 0;
  };
  // Tokens one step catches up with; sequences further behind draft later.
  static constexpr int kMaxRows = 256;

  // Borrows everything. With costs given, the team is left alone.
  ModelDrafter(const DraftingModel& model, const KernelTable& kernels, Team& team,
               const Limits& limits);

  // Takes memory from the kernel now, on this thread, so that whoever drafts first does not wait
  // for it: all that steps work with, and keys and values of a head's window for each sequence.
  // (Low pages are used first; the others come as sequences grow.)
  void commit_memory();

  void begin(int place, const DraftRequest& request) override;
  void observe(int place, std::span<const int32_t> tokens) override;
  // What compute() has drafted for this step, as far as it agrees with what is drafted already.
  void propose(int place, std::span<const int32_t> context, int num_drafted, int max_tokens,
               Draft& draft) override;
  void end(int place) override;

  DraftSource source() const {
    return head_ == nullptr ? DraftSource::kDraftModel : DraftSource::kEagle3;
  }

  // What compute() would take.
  struct Seconds {
    double catching_up = 0.0;
    double round = 0.0;  // of each token that is drafted for all
  };
  Seconds predict(std::span<const DraftTask> tasks);
  // Drafts up to `depth` tokens for each task, the most its max_tokens says. Allocates nothing.
  void compute(std::span<const DraftTask> tasks, int depth);

  // Whether compute() has not come to draft for the task yet: it catches up with so many tokens at
  // a time.
  bool is_behind(const DraftTask& task) const { return missing(places_[task.place], task) > 0; }

  // What all computing so far would have taken as steps were timed at first.
  double timed_seconds() const { return timed_seconds_; }

  // How often the token at `position` of a chain was right of late, those before it being so.
  double expected(int position) const;

  // Whether it drafted the token at each place of the sequence from what is known of those before
  // it alone, and was right.
  std::span<const FirstDraft> first_drafts(int place) const { return places_[place].firsts; }

  int pages_in_use() const { return cache_.pages_in_use(); }

 private:
  struct Place {
    KvSequence kv;
    int64_t first = 0;  // position of slot 0
    Draft chain;
    int64_t chain_at = 0;   // tokens of the sequence when it was drafted
    int chain_came = 0;     // tokens of it that came since
    bool is_fresh = false;  // of this step
    std::vector<FirstDraft> firsts;
  };
  // A task while it is computed.
  struct Active {
    const DraftTask* task = nullptr;
    Place* place = nullptr;
    int rows = 0;       // known ones, computed first
    int depth = 0;      // tokens to draft
    int last_row = 0;   // of the step
    int logit_row = 0;  // of the step; −1: it drafts no more
  };

  static void make_room(Place& place, int64_t max_tokens);
  static void note_first(Place& here, bool accepted);
  int64_t slots_wanted(const Place& here, const DraftTask& task) const;
  int64_t missing(const Place& here, const DraftTask& task) const;
  void follow_team();
  void commit_chain(Place& here, const DraftTask& task);
  void sync(Place& here, const DraftTask& task);
  void commit(Place& here, const DraftTask& task, int64_t num_slots);
  bool reserve(Place& here, int64_t num_slots);
  void activate(const DraftTask& task, int depth, int& rows_left);
  void read_states(const Active& active, int64_t position);
  void lay_out_known(Active& active);
  void lay_out_drafted(const Active& active);
  void lay_out(bool known);
  void run_model(bool known);
  void sample(int member, Active& active);
  void sample_all();
  std::span<const float> target_logits(int member, int logit_row);
  void sample_second(int member, std::span<const float> logits, SamplePoint point, Draft& chain);

  const Eagle3Head* head_;
  Team& team_;
  Decoder decoder_;
  KvCache cache_;
  StepCost cost_;        // by the team as large as it was when it was looked at
  StepCost first_cost_;  // before it was observed
  TeamCosts team_costs_;
  int cost_threads_;  // that both are of
  double timed_seconds_ = 0.0;
  uint64_t weight_version_;
  std::optional<SamplingParams> likeliest_;  // instead of the request's own
  std::vector<Place> places_;
  std::array<OutcomeCount, kMaxDraft> outcomes_ = {};

  // The step being made.
  std::vector<Active> active_;
  std::vector<int32_t> tokens_;
  std::vector<RowGroup> groups_;
  std::vector<int32_t> logit_rows_;
  StepWork work_;
  Buffer state_inputs_;                                        // [kMaxRows, state_inputs]
  Buffer states_;                                              // [max_sequences, d_model]
  Buffer leaving_;                                             // [kMaxRows, d_model]
  std::vector<std::unique_ptr<SamplerWorkspace>> workspaces_;  // one a team member
  // Each member's, all bits set; empty without second choices.
  std::vector<std::vector<uint32_t>> allowed_;
  std::vector<std::vector<float>> scattered_;  // each member's logits of the target's vocabulary
};

}  // namespace forerun
