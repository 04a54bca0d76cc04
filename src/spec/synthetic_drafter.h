#pragma once

#include <vector>

#include "spec/drafter.h"

namespace forerun {

// Drafts with a chosen success, to see what a drafter of that quality would bring: a request's
// prediction has to be its very output, and so many of its tokens are drafted right that full
// drafts bring `acceptance_length` tokens a step on average, the one behind the draft counted.
class SyntheticDrafter final : public Drafter {
 public:
  // 1 < acceptance_length < max_draft + 1, or it is cut to there.
  SyntheticDrafter(double acceptance_length, int max_draft);

  void begin(int place, const DraftRequest& request) override;
  void observe(int place, std::span<const int32_t> tokens) override;
  void propose(int place, std::span<const int32_t> context, int num_drafted, int max_tokens,
               Draft& draft) override;
  void end(int /*place*/) override {}

  // That a drafted token is right, those before it being so.
  double acceptance() const { return acceptance_; }

 private:
  struct Place {
    std::vector<int32_t> output;
    size_t came = 0;
    uint32_t stream = 0;  // of its accidents
    uint32_t step = 0;
  };

  double acceptance_;
  std::vector<Place> places_;
};

}  // namespace forerun
