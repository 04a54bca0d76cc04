#pragma once

#include <memory>
#include <string>

#include "online/draft_chances.h"
#include "online/head_scorer.h"
#include "online/replay.h"
#include "spec/step_cost.h"

namespace forerun {

// A head of the target, scored by replay and the engine's own costs.
class ReplayedHead final : public ScoredHead {
 public:
  static constexpr int kMostDepth = DraftChances::kMostDepth;
  static constexpr int kFirstDepth = 3;  // before it has been held against anything

  // Borrows all but the head.
  ReplayedHead(const Model& target, std::shared_ptr<const Eagle3Head> head,
               const KernelTable& kernels, Team& team);

  AnswerScore tune(std::span<const TraceRecord> records, const DecodingCost& cost) override;
  std::vector<AnswerScore> score(std::span<const TraceRecord> records,
                                 const DecodingCost& cost) override;
  double tokens_a_round() const override;
  std::vector<std::vector<FirstDraft>> score_firsts(std::span<const TraceRecord> records) override;

  const std::shared_ptr<const Eagle3Head>& head() const { return head_; }

 private:
  int best_depth(const DecodingCost& cost, int64_t keys) const;

  std::shared_ptr<const Eagle3Head> head_;
  double size_;  // of the head's weights against the target's
  Replay replay_;
  bool is_tuned_ = false;
  int depth_ = kFirstDepth;  // of drafts; 0: it is better not to draft
  DraftChances chances_;
};

// Loads heads as the engine does, on a team of its own.
class ReplayedHeads final : public HeadLoader {
 public:
  // Borrows the model and the kernels.
  ReplayedHeads(const Model& target, const KernelTable& kernels)
      : target_(target), kernels_(kernels) {}

  Result<std::shared_ptr<ScoredHead>> load(const std::string& folder) override;

 private:
  const Model& target_;
  const KernelTable& kernels_;
  Team team_{1};
};

}  // namespace forerun
