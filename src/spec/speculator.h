#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spec/acceptance.h"
#include "spec/draft_budget.h"
#include "spec/draft_trial.h"
#include "spec/drafter.h"
#include "spec/history_drafter.h"
#include "spec/model_drafter.h"
#include "spec/speculation.h"

namespace forerun {

// Drafts for sequences and decides how much of it is verified. Nothing of a request's answer
// depends on it (docs/architecture.md, promise 1). One thread calls everything; only begin()
// allocates.
class Speculator final {
 public:
  // `model` drafts, too, when there is one.
  Speculator(const SpeculationOptions& options, int max_sequences,
             std::unique_ptr<ModelDrafter> model = nullptr);
  ~Speculator();

  // A place for a sequence.
  int begin(const DraftRequest& request);
  void end(int place);

  // --- each step: draft() for every sequence that decodes, choose(), then learn() for each.

  // Is to be drafted for. What the task points to stays until choose().
  void draft(const DraftTask& task);
  // Drafts for all of them, where that is likely to pay, and says how much of it is verified:
  // draft_of() is cut to it.
  void choose(const DraftBudget& budget, const StepCost& cost);
  // Of the newest draft, what is to be verified, parents before their children; and of each token
  // the one it follows, −1 for the sequence's last: empty for a chain.
  std::span<const int32_t> draft_of(int place) const;
  std::span<const int32_t> parents_of(int place) const;
  // Verifies nothing of it.
  void drop(int place);
  // `tokens` came: as many as the verified part of the draft gave, and one more; or fewer, where
  // the output ended.
  void learn(int place, std::span<const int32_t> tokens);

  // The step took `seconds` beside choose(), after learn() for all: so it is measured whether
  // drafts pay.
  void settle(double seconds);

  // From the next draft on, instead of the model that drafted, which is returned; null: none. The
  // new one is made for as many sequences.
  std::unique_ptr<ModelDrafter> swap_model(std::unique_ptr<ModelDrafter> next);

  // From the next draft on. All of them learn meanwhile.
  void set_active(const ActiveSources& active);

  // What history remembers beyond requests, to a file and back; nothing without history.
  Status save_history(const std::string& path) const;
  Status restore_history(const std::string& path, int64_t vocab_size);

  const SpeculationStats& stats() const { return stats_; }
  const DraftCounts& counts(int place) const { return places_[place].counts; }
  // ModelDrafter::first_drafts of the model that drafts; empty without one.
  std::span<const FirstDraft> first_drafts(int place) const;

 private:
  // A draft, and how much of it came.
  struct Followed {
    DraftTree tree;
    int node = -1;
    int depth = 0;
  };
  struct Place {
    Followed newest;
    int length = 0;  // of it, to be verified
    int64_t keys = 0;
    bool in_step = false;  // it was drafted for
    bool is_taken = false;
    DraftRequest request;  // for a model that comes later; its views are not kept
    // Tokens of late that were wrong, and that were expected to be.
    double failed = 0.0;
    double expected_failed = 0.0;
    // An earlier draft, and how many of its tokens came: what was not verified is compared as the
    // tokens come, so that what it would have brought is learnt for nothing.
    Followed shadow;
    DraftCounts counts;
  };
  // Of the step chosen last, as predicted, and what came of it.
  struct Outlook {
    // Without drafts, as timed at load: what steps have taken since would bring errors in
    // predicting those with drafts into their own measure.
    double plain_token_seconds = 0.0;
    double prefill_seconds = 0.0;
    double drafting_seconds = 0.0;
    bool on_trial = false;
    int64_t tokens = 0;  // that came
  };
  struct Node {
    int32_t token;
    int32_t parent;
    Evidence evidence;
    float survival;
  };
  // What a drafter has proposed for the place being drafted for.
  struct Source {
    DraftSource kind;
    std::unique_ptr<Drafter> drafter;
    Draft proposal;
    bool active = true;   // drafts are made of it
    bool agrees = false;  // with the draft so far
  };

  void add_model(std::unique_ptr<ModelDrafter> model);
  void draft_from_sources(const DraftTask& task);
  double choose_now(const DraftBudget& budget, const StepCost& cost);
  DraftTrial& trial() { return trials_[size_]; }
  int choose_depth(const DraftBudget& budget, const StepCost& cost, double rate_without) const;
  void run_model(std::span<const DraftTask> tasks, int depth);
  void probe_model(double step_seconds);
  double doubt(const Place& place) const;
  bool ask(int place, int max_tokens);
  Source* best_source(int step, int position, double& probability);
  void extend(const Place& here, int max_tokens);
  void add_others(int step, const Source& best);
  void grow_tree(Place& here);
  void note(Place& here, const Followed& followed, int node, int length, bool accepted);
  bool follow(Place& here, Followed& followed, std::span<const int32_t> tokens, int length);

  SpeculationOptions options_;
  std::vector<Source> sources_;  // that of the model last
  std::array<DraftTrial, kNumStepSizes> trials_ = {};
  int size_ = 0;  // class of the step chosen last
  Outlook outlook_;
  HistoryDrafter* history_ = nullptr;  // of sources_
  ModelDrafter* model_ = nullptr;      // of sources_
  bool model_active_ = true;
  Draft model_proposal_;           // room for that of a model that comes
  double unprobed_seconds_ = 0.0;  // since it has drafted
  std::vector<DraftTask> tasks_;   // since the last choice
  Acceptance acceptance_;
  std::vector<Place> places_;
  std::vector<int32_t> free_places_;
  std::vector<int32_t> drafted_;  // places, since the last choice
  std::vector<DraftCurve> curves_;
  std::vector<int32_t> heap_;
  std::vector<Node> nodes_;       // of the tree being grown
  std::vector<int32_t> order_;    // of these, the likeliest first
  std::vector<int32_t> ranks_;    // of these in that order
  Draft draft_;                   // of the place being drafted for
  std::vector<float> survival_;   // of its tokens
  std::vector<int32_t> context_;  // of the place being drafted for, its draft behind it
  SpeculationStats stats_;
};

}  // namespace forerun
