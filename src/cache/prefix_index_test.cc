#include "cache/prefix_index.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace forerun {
namespace {

using Tokens = std::array<int32_t, kPageTokens>;

Tokens tokens_of(int32_t first) {
  Tokens tokens;
  for (int i = 0; i < kPageTokens; ++i) tokens[i] = first + i;
  return tokens;
}

uint64_t always_the_same(const PrefixKey&, uint64_t, PageTokens) {
  return 7;
}

// Every test runs with the real hash and with one that collides always.
class PrefixIndexTest : public testing::TestWithParam<PageHashFunction> {
 protected:
  PrefixIndex index_{/*num_pages=*/8, GetParam()};
  const PrefixKey key_{.weight_version = 1, .salt = 2};
};

TEST_P(PrefixIndexTest, FindsWhatWasInsertedAndNothingElse) {
  index_.insert(key_, kNoPage, tokens_of(0), 3);
  index_.insert(key_, kNoPage, tokens_of(50), 5);
  EXPECT_EQ(index_.find(key_, kNoPage, tokens_of(0)), 3);
  EXPECT_EQ(index_.find(key_, kNoPage, tokens_of(50)), 5);
  EXPECT_EQ(index_.find(key_, kNoPage, tokens_of(100)), kNoPage);
}

TEST_P(PrefixIndexTest, ComparesEveryToken) {
  index_.insert(key_, kNoPage, tokens_of(0), 3);
  for (int i = 0; i < kPageTokens; ++i) {
    Tokens tokens = tokens_of(0);
    ++tokens[i];
    EXPECT_EQ(index_.find(key_, kNoPage, tokens), kNoPage) << i;
  }
}

TEST_P(PrefixIndexTest, ComparesWeightVersionAndSalt) {
  index_.insert(key_, kNoPage, tokens_of(0), 3);
  EXPECT_EQ(index_.find({1, 3}, kNoPage, tokens_of(0)), kNoPage);
  EXPECT_EQ(index_.find({2, 2}, kNoPage, tokens_of(0)), kNoPage);
  EXPECT_EQ(index_.find({2, 1}, kNoPage, tokens_of(0)), kNoPage);
}

TEST_P(PrefixIndexTest, ComparesWhatCameBefore) {
  index_.insert(key_, kNoPage, tokens_of(0), 0);
  index_.insert(key_, kNoPage, tokens_of(50), 1);
  index_.insert(key_, 0, tokens_of(100), 2);
  EXPECT_EQ(index_.find(key_, 0, tokens_of(100)), 2);
  EXPECT_EQ(index_.find(key_, 1, tokens_of(100)), kNoPage);
  EXPECT_EQ(index_.find(key_, kNoPage, tokens_of(100)), kNoPage);
}

// The page of an evicted parent may stand for another text later; the children it left are no
// continuation of that one.
TEST_P(PrefixIndexTest, AParentsPageUsedAgainHasNoChildren) {
  index_.insert(key_, kNoPage, tokens_of(0), 0);
  index_.insert(key_, 0, tokens_of(100), 1);
  index_.erase(0);
  index_.insert(key_, kNoPage, tokens_of(50), 0);
  EXPECT_EQ(index_.find(key_, 0, tokens_of(100)), kNoPage);
  index_.insert(key_, 0, tokens_of(100), 2);
  EXPECT_EQ(index_.find(key_, 0, tokens_of(100)), 2);
}

TEST_P(PrefixIndexTest, ErasesAnywhereInAChainOfCollisions) {
  for (int erased = 0; erased < 8; ++erased) {
    for (int page = 0; page < 8; ++page) index_.insert(key_, kNoPage, tokens_of(page), page);
    index_.erase(erased);
    for (int page = 0; page < 8; ++page) {
      EXPECT_EQ(index_.contains(page), page != erased);
      EXPECT_EQ(index_.find(key_, kNoPage, tokens_of(page)), page == erased ? kNoPage : page);
    }
    index_.clear();
    for (int page = 0; page < 8; ++page) {
      EXPECT_FALSE(index_.contains(page));
      EXPECT_EQ(index_.find(key_, kNoPage, tokens_of(page)), kNoPage);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Hashes, PrefixIndexTest, testing::Values(hash_page, always_the_same));

TEST(HashPage, DependsOnEverythingItIsGiven) {
  std::set<uint64_t> hashes;
  hashes.insert(hash_page({0, 0}, 0, tokens_of(0)));
  hashes.insert(hash_page({1, 0}, 0, tokens_of(0)));
  hashes.insert(hash_page({0, 1}, 0, tokens_of(0)));
  hashes.insert(hash_page({0, 0}, 1, tokens_of(0)));
  for (int i = 0; i < kPageTokens; ++i) {
    Tokens tokens = tokens_of(0);
    tokens[i] += 1000;
    hashes.insert(hash_page({0, 0}, 0, tokens));
  }
  EXPECT_EQ(hashes.size(), 4u + kPageTokens);
}

// Texts that differ in little must spread over the buckets, which take the low bits.
TEST(HashPage, SpreadsSimilarTexts) {
  std::set<uint64_t> buckets;
  for (int i = 0; i < 4096; ++i) buckets.insert(hash_page({0, 0}, 0, tokens_of(i)) % 4096);
  EXPECT_GT(buckets.size(), 2400u);  // 4096 · (1 − 1/e) = 2589 for a random function
}

}  // namespace
}  // namespace forerun
