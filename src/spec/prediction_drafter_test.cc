#include "spec/prediction_drafter.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

class PredictionDrafterTest : public testing::Test {
 protected:
  void begin(const Tokens& prediction) {
    DraftRequest request;
    request.prediction = prediction;
    drafter_.begin(0, request);
  }
  void come(const Tokens& tokens) {
    output_.insert(output_.end(), tokens.begin(), tokens.end());
    drafter_.observe(0, tokens);
  }
  Tokens draft(int max_tokens = 3) {
    Draft draft;
    drafter_.propose(0, output_, /*num_drafted=*/0, max_tokens, draft);
    return draft.tokens;
  }

  PredictionDrafter drafter_;
  Tokens output_ = {99};  // a prompt
};

TEST_F(PredictionDrafterTest, FollowsTheTextFromItsBeginning) {
  begin({1, 2, 3, 4, 5});
  EXPECT_EQ(draft(), (Tokens{1, 2, 3}));
  come({1, 2});
  EXPECT_EQ(draft(), (Tokens{3, 4, 5}));
  come({3, 4});
  EXPECT_EQ(draft(), (Tokens{5}));
  come({5});
  EXPECT_EQ(draft(), Tokens{});
  come({6});
  EXPECT_EQ(draft(), Tokens{});
}

TEST_F(PredictionDrafterTest, GoesOnBehindAReplacedToken) {
  begin({1, 2, 3, 4, 5, 6, 7});
  come({1, 2, 30});
  EXPECT_EQ(draft(), Tokens{}) << "nothing agrees yet";
  come({4});
  EXPECT_EQ(draft(), Tokens{}) << "one token alone may be chance";
  come({5});
  EXPECT_EQ(draft(), (Tokens{6, 7}));
}

TEST_F(PredictionDrafterTest, GoesOnBehindWhatWasPutInAndLeftOut) {
  begin({1, 2, 3, 4, 5, 6, 7, 8, 9});
  come({1, 2, 50, 51, 3, 4});
  EXPECT_EQ(draft(), (Tokens{5, 6, 7}));
  come({7, 8});
  EXPECT_EQ(draft(), (Tokens{9}));
}

TEST_F(PredictionDrafterTest, TakesTheLongestAgreementThenTheNearestBehind) {
  begin({1, 2, 10, 3, 1, 2, 11, 4, 1, 2, 12});
  come({1, 2, 10, 7, 1, 2});
  EXPECT_EQ(draft(1), (Tokens{11})) << "the first behind where it was";
  begin({8, 1, 2, 10, 9, 1, 2, 11});
  output_ = {99};
  come({70, 8, 1, 2});
  EXPECT_EQ(draft(1), (Tokens{10}));
}

TEST_F(PredictionDrafterTest, BehindADraftOfOthersItLooksAnew) {
  begin({1, 2, 3, 4, 5});
  Draft draft;
  const Tokens context = {99, 40, 3, 4};
  drafter_.propose(0, context, /*num_drafted=*/3, /*max_tokens=*/3, draft);
  EXPECT_EQ(draft.tokens, (Tokens{5}));
  EXPECT_EQ(this->draft(), (Tokens{1, 2, 3})) << "that was only a draft";
}

TEST_F(PredictionDrafterTest, PlacesAreApart) {
  begin({1, 2, 3});
  DraftRequest other;
  drafter_.begin(1, other);
  Draft draft;
  drafter_.propose(1, output_, 0, 3, draft);
  EXPECT_EQ(draft.tokens, Tokens{});
  drafter_.end(0);
  EXPECT_EQ(this->draft(), Tokens{});
}

}  // namespace
}  // namespace forerun
