#pragma once

#include <array>
#include <cstdint>

#include "spec/draft.h"

namespace forerun {

class Eagle3Head;
class Model;

struct SpeculationOptions {
  bool history = false;     // draft from texts of before
  bool prediction = false;  // and from what a request expects
  // And with a model, one of both; borrowed. The head reads states that the engine keeps.
  const Model* draft_model = nullptr;
  const Eagle3Head* eagle3 = nullptr;
  // A head may come later, and go (Engine::offer_head).
  bool head_slot = false;
  int max_draft = 24;  // tokens of one draft, up to kMaxDraft
  int max_rows = 64;   // of drafts in a step
  int64_t history_tokens = 1 << 20;
  // Verify second choices beside the first ones, where that pays.
  bool trees = true;
  // Above 0: predictions are the outputs themselves, and are drafted so badly that full drafts
  // bring that many tokens a step (spec/synthetic_drafter.h); for measurements.
  double synthetic_acceptance = 0.0;
  // Verify every draft as long as it is, whatever it costs: for tests and measurements.
  bool forced = false;
  // Models draft what is likeliest instead of what the request's noise chooses: to measure what
  // that noise brings.
  bool argmax_drafts = false;

  bool has_model() const { return draft_model != nullptr || eagle3 != nullptr; }
  bool on() const { return history || prediction || has_model() || head_slot; }
};

// Which of the sources that there are draft.
struct ActiveSources {
  bool history = true;
  bool prediction = true;
  bool model = true;
};

// Drafted tokens that were verified, and those of them that were right.
struct DraftTokens {
  int64_t drafted = 0;
  int64_t accepted = 0;

  void add(const DraftTokens& other) {
    drafted += other.drafted;
    accepted += other.accepted;
  }
};
using DraftTokensBySource = std::array<DraftTokens, kNumDraftSources>;

// What drafting was measured to bring to steps of about as many sequences (DraftTrial).
struct MeasuredGain {
  double speed_up = 1.0;  // tokens a second where drafts are allowed, over without
  bool drafts = true;     // so they are
  int64_t compared = 0;   // turns; 0: nothing is known
};
// Sizes of steps that are told apart: 1 sequence, 2–3, 4–7, 8–15 …
constexpr int kNumStepSizes = 12;

struct SpeculationStats {
  int64_t off_steps = 0;        // without drafts: they were measured not to pay, or to measure that
  int64_t drafts = 0;           // of one sequence in one step
  int64_t draft_tokens = 0;     // that were verified
  int64_t accepted_tokens = 0;  // of these
  std::array<int64_t, kMaxDraft> accepted_at = {};  // by place in the draft
  DraftTokensBySource by_source = {};
  std::array<MeasuredGain, kNumStepSizes> measured = {};
  double seconds = 0.0;              // taken by choosing, and by drafting but for the model's
  double model_seconds = 0.0;        // taken by the model that drafts
  double model_timed_seconds = 0.0;  // likewise, as its steps were timed at first
};

// What one request's drafts came to.
struct DraftCounts {
  int64_t drafts = 0;
  DraftTokensBySource by_source = {};

  DraftTokens all() const {
    DraftTokens sum;
    for (const DraftTokens& one : by_source) sum.add(one);
    return sum;
  }
};

}  // namespace forerun
