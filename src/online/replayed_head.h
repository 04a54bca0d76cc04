#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "online/head_scorer.h"
#include "online/replay.h"
#include "spec/step_cost.h"

namespace forerun {

// What steps of the living engine take.
struct DecodingCost {
  StepCost step;
  double sequences = 1.0;  // that decode together
};

// A head of the target, scored by replay and the engine's own costs.
class ReplayedHead final : public ScoredHead {
 public:
  static constexpr int kMostDepth = 6;

  // `cost` is asked for with every score. Borrows the rest.
  ReplayedHead(const Model& target, std::shared_ptr<const Eagle3Head> head,
               const KernelTable& kernels, Team& team, std::function<DecodingCost()> cost);

  std::vector<AnswerScore> score(std::span<const TraceRecord> records) override;
  std::vector<std::vector<FirstDraft>> score_firsts(std::span<const TraceRecord> records) override;

  const std::shared_ptr<const Eagle3Head>& head() const { return head_; }

 private:
  double round_seconds(const DecodingCost& cost, int depth, int64_t keys) const;
  void choose_depth(const DecodingCost& cost, const ReplayScore& score, int64_t keys);

  std::shared_ptr<const Eagle3Head> head_;
  double size_;  // of the head's weights against the target's
  Replay replay_;
  std::function<DecodingCost()> cost_;
  int depth_ = 4;  // of drafts; 0: it is better not to draft
  // Chances that a draft is right at each place, those before it being so, of late.
  std::array<double, kMostDepth> right_ = {};
};

// Loads heads as the engine does, on a team of its own.
class ReplayedHeads final : public HeadLoader {
 public:
  // Borrows the model and the kernels.
  ReplayedHeads(const Model& target, const KernelTable& kernels, std::function<DecodingCost()> cost)
      : target_(target), kernels_(kernels), cost_(std::move(cost)) {}

  Result<std::shared_ptr<ScoredHead>> load(const std::string& folder) override;

 private:
  const Model& target_;
  const KernelTable& kernels_;
  std::function<DecodingCost()> cost_;
  Team team_{1};
};

}  // namespace forerun
