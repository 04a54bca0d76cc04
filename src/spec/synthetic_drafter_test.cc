#include "spec/synthetic_drafter.h"

#include <gtest/gtest.h>

#include <numeric>

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

// Tokens a step of full drafts brings.
double acceptance_length(double wanted, int max_draft) {
  Tokens output(20'000);
  std::iota(output.begin(), output.end(), 0);
  SyntheticDrafter drafter(wanted, max_draft);
  DraftRequest request;
  request.id = 3;
  request.prediction = output;
  drafter.begin(0, request);
  int64_t steps = 0;
  size_t came = 0;
  for (; came + max_draft < output.size(); ++steps) {
    Draft draft;
    drafter.propose(0, {}, /*num_drafted=*/0, max_draft, draft);
    size_t right = 0;
    while (right < draft.tokens.size() && draft.tokens[right] == output[came + right]) ++right;
    drafter.observe(0, {output.data() + came, right + 1});
    came += right + 1;
  }
  return static_cast<double>(came) / static_cast<double>(steps);
}

TEST(SyntheticDrafter, BringsWhatIsAskedFor) {
  for (const int max_draft : {1, 5, 16}) {
    for (const double length : {1.2, 1.9, 3.0, 6.0}) {
      if (length >= max_draft + 1) continue;
      EXPECT_NEAR(acceptance_length(length, max_draft), length, 0.03 * length) << max_draft;
    }
  }
}

TEST(SyntheticDrafter, KeepsToWhatIsPossible) {
  EXPECT_NEAR(SyntheticDrafter(1.0, 5).acceptance(), 0.0, 1e-9);
  EXPECT_NEAR(SyntheticDrafter(100.0, 5).acceptance(), 1.0, 1e-9);
}

TEST(SyntheticDrafter, GoesOnBehindWhatIsDrafted) {
  SyntheticDrafter drafter(4.0, 3);
  DraftRequest request;
  const Tokens output = {10, 20, 30, 40};
  request.prediction = output;
  drafter.begin(0, request);
  drafter.observe(0, Tokens{10});
  Draft draft;
  drafter.propose(0, {}, /*num_drafted=*/1, 8, draft);
  EXPECT_EQ(draft.tokens, (Tokens{30, 40}));
}

}  // namespace
}  // namespace forerun
