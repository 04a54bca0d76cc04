#include "spec/history_drafter.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

class HistoryDrafterTest : public testing::Test {
 protected:
  void begin(int place, const Tokens& prompt, std::optional<HistoryScope> shared = std::nullopt,
             int choice = 0) {
    DraftRequest request;
    request.id = choice == 0 ? ++requests_ : requests_;
    request.choice = choice;
    request.prompt = prompt;
    request.shared_scope = shared;
    drafter_.begin(place, request);
  }
  Tokens draft(int place, const Tokens& context, int max_tokens = 3) {
    Draft draft;
    drafter_.propose(place, context, /*num_drafted=*/0, max_tokens, draft);
    return draft.tokens;
  }

  HistoryDrafter drafter_{1 << 14};
  uint64_t requests_ = 0;
};

TEST_F(HistoryDrafterTest, FindsThePromptAndTheOutput) {
  begin(0, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(draft(0, {7, 2, 3}), (Tokens{4, 5, 6}));
  drafter_.observe(0, Tokens{20, 21, 22, 23});
  EXPECT_EQ(draft(0, {9, 20, 21}), (Tokens{22, 23}));
  EXPECT_EQ(draft(0, {9, 5, 6}), (Tokens{20, 21, 22})) << "the output follows the prompt";
}

// Behind "2 3" stood 4 twice and 9 once; behind the 9 nothing can be told of what follows the 4.
TEST_F(HistoryDrafterTest, NamesWhatCameSecond) {
  begin(0, {1, 2, 3, 4, 5, 8, 2, 3, 9, 7, 1, 2, 3, 4, 6});
  Draft draft;
  drafter_.propose(0, Tokens{7, 2, 3}, /*num_drafted=*/0, 3, draft);
  ASSERT_EQ(draft.tokens[0], 4);
  ASSERT_GE(draft.others.size(), 1u);
  EXPECT_EQ(draft.others[0].place, 0);
  EXPECT_EQ(draft.others[0].token, 9);
  EXPECT_TRUE(draft.others[0].evidence.second);
  EXPECT_NEAR(draft.others[0].evidence.share, 1.0 - draft.evidence[0].share, 1e-6);
  EXPECT_EQ(draft.others[1].place, 1) << "5 or 6";
}

TEST_F(HistoryDrafterTest, OutputsHelpOthersOfTheirScopeOnly) {
  begin(0, {1, 2, 3}, /*shared=*/7);
  drafter_.observe(0, Tokens{20, 21, 22, 23});
  drafter_.end(0);
  begin(0, {50, 51}, /*shared=*/7);
  EXPECT_EQ(draft(0, {60, 20, 21}), (Tokens{22, 23}));
  begin(1, {50, 51}, /*shared=*/8);
  EXPECT_EQ(draft(1, {60, 20, 21}), Tokens{});
  begin(2, {50, 51});
  EXPECT_EQ(draft(2, {60, 20, 21}), Tokens{});
}

TEST_F(HistoryDrafterTest, PromptsHelpNobodyElse) {
  begin(0, {1, 2, 3, 4, 5, 6}, /*shared=*/7);
  begin(1, {50, 51}, /*shared=*/7);
  EXPECT_EQ(draft(1, {9, 1, 2}, 1), Tokens{}) << "but for the tokens before an output";
  EXPECT_EQ(draft(1, {9, 4, 5}, 1), Tokens{6});
}

TEST_F(HistoryDrafterTest, AnOutputIsFoundFromItsBeginning) {
  begin(0, {1, 2, 3}, /*shared=*/7);
  drafter_.observe(0, Tokens{20, 21});
  begin(1, {1, 2, 3}, /*shared=*/7);
  EXPECT_EQ(draft(1, {1, 2, 3}), (Tokens{20, 21}));
}

TEST_F(HistoryDrafterTest, ChoicesShareTheirPromptAndHelpEachOther) {
  begin(0, {1, 2, 3, 4}, /*shared=*/7);
  const int64_t taken = drafter_.index().taken_tokens();
  begin(1, {1, 2, 3, 4}, /*shared=*/7, /*choice=*/1);
  EXPECT_LE(drafter_.index().taken_tokens(), taken + 64) << "the prompt is there once";
  EXPECT_EQ(draft(1, {9, 1, 2}), (Tokens{3, 4}));
  drafter_.observe(0, Tokens{20, 21});
  EXPECT_EQ(draft(1, {1, 2, 3, 4}), (Tokens{20, 21}));
}

TEST_F(HistoryDrafterTest, ALongPromptLeavesRoomForOthers) {
  begin(0, {1, 2, 3}, /*shared=*/7);
  drafter_.observe(0, Tokens{20, 21, 22});
  Tokens prompt;
  for (int i = 0; i < 1 << 15; ++i) prompt.push_back(1000 + i);
  begin(1, prompt, /*shared=*/7);
  EXPECT_EQ(draft(1, {9, 20, 21}), Tokens{22});
  EXPECT_EQ(draft(1, {9, 33000, 33001}), (Tokens{33002, 33003, 33004}));
}

}  // namespace
}  // namespace forerun
