#include "spec/history_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

Tokens counting(int32_t first, int count) {
  Tokens tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

void write(HistoryIndex& index, HistoryScope scope, const Tokens& tokens, uint32_t epoch = 0) {
  HistoryIndex::Sequence sequence = index.open(scope, epoch);
  index.append(sequence, tokens);
}

HistoryDraft propose(const HistoryIndex& index, const HistoryQuery& query) {
  HistoryDraft draft;
  index.propose(query, draft);
  EXPECT_EQ(draft.tokens.size(), draft.shares.size());
  return draft;
}

HistoryDraft propose(const HistoryIndex& index, const std::vector<HistoryScope>& scopes,
                     const Tokens& context, uint32_t first_epoch = 0) {
  HistoryQuery query;
  query.scopes = scopes;
  query.context = context;
  query.first_epoch = first_epoch;
  return propose(index, query);
}

TEST(HistoryIndex, GoesOnWhereATextHasBeen) {
  HistoryIndex index(4096);
  write(index, 7, counting(0, 200));  // over several chunks
  const HistoryDraft draft = propose(index, {7}, counting(50, 12));
  EXPECT_EQ(draft.tokens, counting(62, 24));
  EXPECT_EQ(draft.match, 12);
  EXPECT_EQ(draft.shares, std::vector<float>(24, 1.0f));
  EXPECT_TRUE(propose(index, {7}, {1000}).tokens.empty());
  EXPECT_TRUE(propose(index, {7}, {}).tokens.empty());
  EXPECT_TRUE(propose(index, {7}, {199}).tokens.empty()) << "nothing came after it";
}

TEST(HistoryIndex, KeepsItsLimits) {
  HistoryIndex index(4096);
  write(index, 7, counting(0, 200));
  const Tokens context = counting(50, 3);
  const std::vector<HistoryScope> scopes = {7};
  HistoryQuery query;
  query.scopes = scopes;
  query.context = context;
  EXPECT_EQ(propose(index, query).tokens, counting(53, 6)) << "two for each that matches";
  query.tokens_per_match = 0.5f;
  EXPECT_EQ(propose(index, query).tokens, counting(53, 1));
  query.tokens_per_match = 100.0f;
  query.max_tokens = 9;
  EXPECT_EQ(propose(index, query).tokens, counting(53, 9));
  // Four ways to go on, then four again: a share of a quarter each.
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) write(index, 8, {1, 2, 3, 10 + i, 20 + j});
  }
  const std::vector<HistoryScope> split = {8};
  const Tokens fork = {1, 2, 3};
  query.scopes = split;
  query.context = fork;
  EXPECT_EQ(propose(index, query).tokens, Tokens{13});
  query.min_probability = 0.05f;
  EXPECT_EQ(propose(index, query).tokens, (Tokens{13, 23}));
  query.min_probability = 0.3f;
  EXPECT_TRUE(propose(index, query).tokens.empty());
}

TEST(HistoryIndex, ScopesDoNotMix) {
  HistoryIndex index(4096);
  write(index, 1, {5, 6, 7, 100});
  write(index, 2, {4, 5, 6, 7, 200});
  EXPECT_EQ(propose(index, {1}, {4, 5, 6, 7}).tokens, Tokens{100});
  EXPECT_EQ(propose(index, {2}, {4, 5, 6, 7}).tokens, Tokens{200});
  EXPECT_TRUE(propose(index, {3}, {4, 5, 6, 7}).tokens.empty());
  EXPECT_TRUE(propose(index, {}, {4, 5, 6, 7}).tokens.empty());
  EXPECT_EQ(propose(index, {1, 2}, {4, 5, 6, 7}).tokens, Tokens{200}) << "the longer match";
}

TEST(HistoryIndex, SequencesDoNotRunIntoEachOther) {
  HistoryIndex index(4096);
  write(index, 1, {1, 2, 3});
  write(index, 1, {4, 5, 6});
  EXPECT_TRUE(propose(index, {1}, {2, 3}).tokens.empty());
  EXPECT_EQ(propose(index, {1}, {3, 4}).match, 1);
}

TEST(HistoryIndex, LeavesOutEarlierEpochs) {
  HistoryIndex index(4096);
  write(index, 1, {1, 2, 3, 40}, 4);
  write(index, 1, {0, 2, 3, 50}, 5);
  EXPECT_EQ(propose(index, {1}, {1, 2, 3}, 0).tokens, Tokens{40});
  EXPECT_EQ(propose(index, {1}, {1, 2, 3}, 5).tokens, Tokens{50});
  EXPECT_TRUE(propose(index, {1}, {1, 2, 3}, 6).tokens.empty());
}

TEST(HistoryIndex, TheLongestMatchOutweighsMany) {
  HistoryIndex index(4096);
  write(index, 1, {1, 2, 3, 4, 5, 6, 7, 8, 100});
  for (int i = 0; i < 10; ++i) write(index, 1, {90 + i, 7, 8, 200});
  EXPECT_EQ(propose(index, {1}, {1, 2, 3, 4, 5, 6, 7, 8}).tokens, Tokens{100});
  const HistoryDraft by_vote = propose(index, {1}, {7, 8});
  EXPECT_EQ(by_vote.tokens, Tokens{200});
  EXPECT_FLOAT_EQ(by_vote.shares[0], 10.0f / 11.0f);
}

// Sequences that grow by turns lie in chunks between each other, and help from the first token.
TEST(HistoryIndex, FollowsSequencesThatGrowTogether) {
  HistoryIndex index(1 << 14);
  std::vector<HistoryIndex::Sequence> growing;
  for (int i = 0; i < 8; ++i) growing.push_back(index.open(1, 0));
  for (int token = 0; token < 500; ++token) {
    for (int i = 0; i < 8; ++i) index.append(growing[i], Tokens{1000 * i + token});
  }
  for (int i = 0; i < 8; ++i) {
    for (int at = 1; at < 470; at += 31) {
      const HistoryDraft draft = propose(index, {1}, counting(1000 * i, at));
      EXPECT_EQ(draft.tokens, counting(1000 * i + at, std::min(24, 2 * draft.match)));
      EXPECT_EQ(draft.match, std::min(at, 64));
    }
  }
}

TEST(HistoryIndex, ForgetsTheOldest) {
  HistoryIndex index(4096);
  HistoryIndex::Sequence one = index.open(1, 0);
  for (int32_t token = 0; token < 20'000; ++token) {
    index.append(one, Tokens{token});
    if (token % 997 != 0 || token < 5000) continue;
    EXPECT_TRUE(propose(index, {1}, counting(token - 4200, 5)).tokens.empty());
    EXPECT_EQ(propose(index, {1}, counting(token - 3900, 5)).tokens, counting(token - 3895, 10));
    // Where the beginning of a match is gone, the rest counts.
    EXPECT_GT(propose(index, {1}, counting(token - 4095, 64)).match, 0);
  }
}

// A sequence that rests while others fill the ring goes on as a new one.
TEST(HistoryIndex, SurvivesTheLossOfItsOwnBeginning) {
  HistoryIndex index(4096);
  HistoryIndex::Sequence resting = index.open(1, 0);
  index.append(resting, counting(0, 70));
  write(index, 2, counting(10'000, 9000));
  index.append(resting, counting(70, 70));
  EXPECT_TRUE(propose(index, {1}, counting(20, 8)).tokens.empty());
  EXPECT_EQ(propose(index, {1}, counting(80, 8)).tokens, counting(88, 16));
  EXPECT_EQ(propose(index, {1}, counting(60, 12)).match, 2);
}

TEST(HistoryIndex, PositionsStartOver) {
  HistoryIndex index(4096, 0xffff'f000);
  HistoryIndex::Sequence one = index.open(1, 0);
  for (int32_t token = 0; token < 12'000; ++token) {
    index.append(one, Tokens{token});
    if (token % 61 != 0 || token < 1000) continue;
    ASSERT_EQ(propose(index, {1}, counting(token - 900, 10)).tokens, counting(token - 890, 20))
        << token;
  }
}

// Every occurrence is found where there are few: the first token drafted is the one that the
// weights of all of them prefer.
TEST(HistoryIndex, AgreesWithASearchThroughTheText) {
  std::mt19937 draw(1);
  for (int round = 0; round < 300; ++round) {
    Tokens text(20);
    for (int32_t& token : text) token = static_cast<int32_t>(draw() % 4);
    HistoryIndex index(4096);
    write(index, 1, text);
    Tokens context(3 + draw() % 5);
    for (int32_t& token : context) token = static_cast<int32_t>(draw() % 4);
    std::vector<int> matches(text.size(), 0);  // of the context before each token
    for (size_t at = 1; at < text.size(); ++at) {
      while (matches[at] < static_cast<int>(std::min(at, context.size())) &&
             text[at - 1 - matches[at]] == context[context.size() - 1 - matches[at]]) {
        ++matches[at];
      }
    }
    const int longest = *std::ranges::max_element(matches);
    const HistoryDraft draft = propose(index, {1}, context);
    ASSERT_EQ(draft.match, longest);
    if (longest == 0) continue;
    std::vector<double> weights(4, 0.0);
    for (size_t at = 1; at < text.size(); ++at) {
      weights[text[at]] += std::pow(static_cast<double>(matches[at]) / longest, 8);
    }
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    ASSERT_FALSE(draft.tokens.empty());
    EXPECT_NEAR(draft.shares[0], *std::ranges::max_element(weights) / total, 1e-5);
    EXPECT_NEAR(draft.shares[0], weights[draft.tokens[0]] / total, 1e-5);
  }
}

TEST(HistoryIndex, IsReadWhileItIsWritten) {
  HistoryIndex index(4096);
  std::atomic<bool> done = false;
  std::thread reader([&] {
    std::mt19937 draw(2);
    while (!done) {
      const HistoryDraft draft =
          propose(index, {1, 2}, counting(static_cast<int32_t>(draw() % 90), 5));
      for (const int32_t token : draft.tokens) EXPECT_TRUE(token >= 0 && token < 100);
    }
  });
  std::mt19937 draw(3);
  for (int i = 0; i < 2000; ++i) {
    write(index, 1 + draw() % 2, counting(static_cast<int32_t>(draw() % 50), 50));
  }
  done = true;
  reader.join();
}

TEST(HistoryIndex, TakesFewBytesAToken) {
  const HistoryIndex index(1 << 16);
  EXPECT_EQ(index.capacity_tokens(), 1 << 16);
  EXPECT_LE(index.memory_bytes(), 24 * index.capacity_tokens());
  HistoryIndex small(4096);
  EXPECT_EQ(small.taken_tokens(), 0);
  write(small, 1, counting(0, 65));
  EXPECT_EQ(small.taken_tokens(), 128);
  write(small, 1, counting(0, 9000));
  EXPECT_EQ(small.taken_tokens(), 4096);
  EXPECT_EQ(HistoryIndex(5000).capacity_tokens(), 8192);
  EXPECT_EQ(HistoryIndex(1).capacity_tokens(), 4096);
}

}  // namespace
}  // namespace forerun
