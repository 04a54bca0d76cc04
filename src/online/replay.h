#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "cache/kv_pool.h"
#include "models/eagle3_head.h"
#include "models/model.h"
#include "online/trace_record.h"
#include "spec/model_drafter.h"

namespace forerun {

// What a head's drafts come to on recorded output.
struct ReplayScore {
  int64_t rounds = 0;  // steps of decoding, each with a draft
  int64_t tokens = 0;  // that they gave, the target's own included
  // Rounds whose draft was long enough for a token at this place, and those whose tokens up to it
  // were all right.
  std::array<int64_t, kMaxDraft> drafted_at = {};
  std::array<int64_t, kMaxDraft> accepted_at = {};

  void add(const ReplayScore& other);
  // The target's own token counted.
  double acceptance_length() const;
};

// Lets a head draft for recorded sequences as it would have for the living ones, with the engine's
// own drafter, and the requests' own noise: as verification samples what is recorded, no target is
// needed to tell what would have been accepted. (Penalties, bias and grammars are not recorded:
// where requests have those, live drafts know more.)
//
// Sequences are taken from the first position with states on, as a head does that begins there.
class Replay final {
 public:
  static constexpr int kMostSequences = 16;  // at a time

  // Borrows everything. `argmax`: drafts are what is likeliest instead of drawn with the requests'
  // noise, which no engine does; to tell what that noise brings.
  Replay(const Model& target, const Eagle3Head& head, const KernelTable& kernels, Team& team,
         bool argmax = false);

  // Drafts of up to `depth` tokens; a score for each record, whose width is the target's (CHECKed).
  std::vector<ReplayScore> score(std::span<const TraceRecord> records, int depth);

  // What would have become of a first draft at every place of each record's tokens: kNone where
  // there are no states, in prompts and of the output's first token.
  std::vector<std::vector<FirstDraft>> score_firsts(std::span<const TraceRecord> records);
  // The tokens that these drafts are; −1: none.
  std::vector<std::vector<int32_t>> draft_firsts(std::span<const TraceRecord> records);

 private:
  struct Place {
    const TraceRecord* record = nullptr;  // null: free
    ReplayScore* score = nullptr;
    std::vector<int32_t>* firsts = nullptr;  // not null: every place is drafted
    SamplingParams sampling;
    int64_t known = 0;  // of the record's tokens
    std::vector<int32_t> pages;
  };

  void begin(int place, const TraceRecord& record);
  template <typename Begin>
  void run(std::span<const TraceRecord> records, int depth, Begin begin_record);
  void add_task(int place, int depth);
  void take_round(int place, int depth);

  KvPool states_;
  ModelDrafter drafter_;
  std::vector<Place> places_;
  std::vector<DraftTask> tasks_;
  Draft draft_;
};

}  // namespace forerun
