#include "vocabulary_watch.h"

#include <gtest/gtest.h>

#include <vector>

namespace forerun {
namespace {

constexpr int64_t kVocabSize = 100;

using Tokens = std::vector<int32_t>;

// A response alone.
void add(VocabularyWatch& watch, const Tokens& tokens, const DraftVocabulary* current) {
  TraceRecord record;
  record.tokens = tokens;
  watch.add(record, current);
}

TEST(VocabularyWatch, ChoosesWhatIsFrequent) {
  VocabularyWatch watch(kVocabSize);
  add(watch, {7, 7, 7, 50, 50, 9}, nullptr);
  add(watch, {9, 60}, nullptr);
  EXPECT_EQ(watch.num_counted(), 2);
  EXPECT_EQ(watch.choose(3).token_of(), (Tokens{7, 9, 50}));
  EXPECT_EQ(watch.choose(6).token_of(), (Tokens{0, 1, 7, 9, 50, 60}));  // the lowest of equals
}

TEST(VocabularyWatch, FollowsTheTraffic) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1, 2, 3, 4}, kVocabSize);
  add(watch, Tokens(1000, 4), &current);
  add(watch, Tokens(500, 1), &current);
  watch.restart();
  for (int i = 0; i < VocabularyWatch::kLeastRecords - 1; ++i) {
    add(watch, {4, 1, 80}, &current);
    EXPECT_FALSE(watch.better_than(current, current.size()));
  }
  EXPECT_NEAR(watch.outside_share(), 1.0 / 3, 1e-9);
  add(watch, {4, 1, 80}, &current);
  const std::optional<DraftVocabulary> next = watch.better_than(current, current.size());
  ASSERT_TRUE(next);
  // Of those that never came, what the head has stays.
  EXPECT_EQ(next->token_of(), (Tokens{1, 2, 4, 80}));
  watch.restart();
  EXPECT_EQ(watch.outside_share(), 0.0);
}

TEST(VocabularyWatch, LeavesAloneWhatFits) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1, 2}, kVocabSize);
  Tokens tokens(100, 1);
  tokens[0] = tokens[1] = 80;  // 2 %
  for (int i = 0; i < 400; ++i) add(watch, tokens, &current);
  EXPECT_NEAR(watch.outside_share(), 0.02, 1e-9);
  EXPECT_FALSE(watch.better_than(current, current.size()));
  tokens[2] = 80;
  for (int i = 0; i < 400; ++i) add(watch, tokens, &current);
  EXPECT_TRUE(watch.better_than(current, current.size()));
}

TEST(VocabularyWatch, DoesNotChaseWhatNoVocabularyCovers) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1, 2}, kVocabSize);
  for (int i = 0; i < 300; ++i) add(watch, {1, 2, 3, 4, 5, 6, 3}, &current);
  EXPECT_FALSE(watch.better_than(current, current.size()));
}

TEST(VocabularyWatch, TakesAnotherSize) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1, 2}, kVocabSize);
  for (int i = 0; i < VocabularyWatch::kLeastRecords; ++i) {
    add(watch, {1, 2, 3, 4, 5, 6, 3}, &current);
  }
  const std::optional<DraftVocabulary> next = watch.better_than(current, 4);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->token_of(), (Tokens{1, 2, 3, 4}));
}

TEST(VocabularyWatch, ForgetsOldTraffic) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1}, kVocabSize);
  for (int i = 0; i < 3 * VocabularyWatch::kWindow; ++i) add(watch, {1, 1}, &current);
  for (int i = 0; i < VocabularyWatch::kWindow; ++i) add(watch, {2, 2}, &current);
  EXPECT_EQ(watch.outside_share(), 1.0);  // of a window
  // By then 7 against 8: not worth it yet.
  EXPECT_FALSE(watch.better_than(current, current.size()));
  for (int i = 0; i < VocabularyWatch::kWindow; ++i) add(watch, {2, 2}, &current);
  const std::optional<DraftVocabulary> next = watch.better_than(current, current.size());
  ASSERT_TRUE(next);
  EXPECT_EQ(next->token_of(), (Tokens{2}));
}

}  // namespace
}  // namespace forerun
