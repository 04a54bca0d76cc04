#include "vocabulary_watch.h"

#include <gtest/gtest.h>

#include <numeric>
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

// As often, asking every time; what was answered last.
std::optional<DraftVocabulary> follow(VocabularyWatch& watch, const Tokens& tokens, int64_t times,
                                      const DraftVocabulary& current, int64_t size) {
  std::optional<DraftVocabulary> next;
  for (int64_t i = 0; i < times; ++i) {
    add(watch, tokens, &current);
    next = watch.better_than(current, size);
    if (i + 1 < times && next) ADD_FAILURE() << "after " << i + 1;
  }
  return next;
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
  constexpr int64_t kLeast = VocabularyWatch::kLeastRecords;
  EXPECT_FALSE(follow(watch, {4, 1, 80}, kLeast - 1, current, 4));
  EXPECT_NEAR(watch.outside_share(), 1.0 / 3, 1e-9);
  const std::optional<DraftVocabulary> next = follow(watch, {4, 1, 80}, 1, current, 4);
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
  EXPECT_FALSE(follow(watch, tokens, 400, current, 2));
  EXPECT_NEAR(watch.outside_share(), 0.02, 1e-9);
  tokens[2] = 80;
  EXPECT_TRUE(follow(watch, tokens, VocabularyWatch::kLeastRecords, current, 2));
}

TEST(VocabularyWatch, DoesNotChaseWhatNoVocabularyCovers) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1, 2}, kVocabSize);
  EXPECT_FALSE(follow(watch, {1, 2, 3, 4, 5, 6, 7, 8, 9, 3}, 300, current, 2));
}

// Every token comes for a while and never again: with hindsight those would have been the ones.
TEST(VocabularyWatch, DoesNotTakeWhatOnlyHindsightCovers) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1, 2}, kVocabSize);
  for (int32_t token = 10; token < 40; ++token) {
    EXPECT_FALSE(follow(watch, {1, token, token}, 25, current, 2));
  }
  EXPECT_NEAR(watch.outside_share(), 2.0 / 3, 1e-9);
}

// What has come as often as the head's own tokens does not take their place.
TEST(VocabularyWatch, KeepsWhatIsTrained) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({50, 60}, kVocabSize);
  Tokens once(40);
  std::iota(once.begin(), once.end(), 0);
  add(watch, once, &current);
  Tokens often(30, 7);
  const auto next = follow(watch, often, VocabularyWatch::kLeastRecords - 1, current, 2);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->token_of(), (Tokens{7, 50}));
}

TEST(VocabularyWatch, TakesAnotherSize) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1, 2}, kVocabSize);
  const std::optional<DraftVocabulary> next =
      follow(watch, {1, 2, 3, 4, 5, 6, 3}, VocabularyWatch::kLeastRecords, current, 4);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->token_of(), (Tokens{1, 2, 3, 4}));
}

TEST(VocabularyWatch, ForgetsOldTraffic) {
  VocabularyWatch watch(kVocabSize);
  const DraftVocabulary current({1}, kVocabSize);
  EXPECT_FALSE(follow(watch, {1, 1}, 3 * VocabularyWatch::kWindow, current, 1));
  // For as long the old one is more frequent.
  EXPECT_FALSE(follow(watch, {2, 2}, VocabularyWatch::kWindow, current, 1));
  EXPECT_EQ(watch.outside_share(), 1.0);  // of a window
  std::optional<DraftVocabulary> next;
  for (int i = 0; i < VocabularyWatch::kWindow && !next; ++i) {
    next = follow(watch, {2, 2}, 1, current, 1);
  }
  ASSERT_TRUE(next);
  EXPECT_EQ(next->token_of(), (Tokens{2}));
}

}  // namespace
}  // namespace forerun
