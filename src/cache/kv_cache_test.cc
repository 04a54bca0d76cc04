#include "cache/kv_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <numeric>

#include "cache/slot_contents.h"

namespace {
int64_t num_allocations = 0;

void* counted_malloc(size_t size) {
  ++num_allocations;
  return std::malloc(size > 0 ? size : 1);
}

void* counted_malloc_or_throw(size_t size) {
  void* memory = counted_malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(size_t size) {
  return counted_malloc_or_throw(size);
}
void* operator new[](size_t size) {
  return counted_malloc_or_throw(size);
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return counted_malloc(size);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return counted_malloc(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

const KvShape kShape{2, 2, 24, {{"states", 6}, {"head", 10}}};

Tokens text(int64_t num_tokens, int32_t first = 0) {
  Tokens tokens(num_tokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

Tokens operator+(Tokens head, const Tokens& tail) {
  head.insert(head.end(), tail.begin(), tail.end());
  return head;
}

void write(KvCache& cache, const KvSequence& sequence, int64_t slot, uint64_t stamp) {
  write_slot(cache.pool(), sequence.pages[slot / kPageTokens], slot % kPageTokens, stamp);
}

bool holds(KvCache& cache, const KvSequence& sequence, int64_t slot, uint64_t stamp) {
  return slot_holds(cache.pool(), sequence.pages[slot / kPageTokens], slot % kPageTokens, stamp);
}

// What a step does: the tokens not yet there are computed (their stamp is the token) and committed.
void compute(KvCache& cache, KvSequence& sequence, const Tokens& tokens, bool share = true) {
  const int64_t num_tokens = static_cast<int64_t>(tokens.size());
  ASSERT_TRUE(cache.reserve(sequence, num_tokens));
  for (int64_t p = sequence.num_tokens; p < num_tokens; ++p) write(cache, sequence, p, tokens[p]);
  cache.commit(sequence, tokens, share);
}

void expect_contents(KvCache& cache, const KvSequence& sequence, const Tokens& tokens) {
  ASSERT_EQ(sequence.num_tokens, static_cast<int64_t>(tokens.size()));
  for (int64_t p = 0; p < sequence.num_tokens; ++p) {
    ASSERT_TRUE(holds(cache, sequence, p, tokens[p])) << "position " << p;
  }
}

// Leaves `tokens` in the index, held by nobody.
void leave_cached(KvCache& cache, const Tokens& tokens, PrefixKey key = {}) {
  KvSequence sequence{.key = key, .pages = {}};
  cache.match_prefix(tokens, sequence);
  compute(cache, sequence, tokens);
  cache.release(sequence);
}

int64_t length_found(KvCache& cache, const Tokens& tokens, PrefixKey key = {}) {
  KvSequence sequence{.key = key, .pages = {}};
  const int64_t found = cache.match_prefix(tokens, sequence);
  cache.release(sequence);
  return found;
}

TEST(KvCachePrefix, CountsThePagesOfABeginningThatAreHeld) {
  KvCache cache(kShape, /*num_pages=*/8);
  leave_cached(cache, text(128));
  EXPECT_EQ(cache.held_prefix_pages(text(128), {}), 0) << "found, but held by nobody";
  KvSequence holder{.key = {}, .pages = {}};
  ASSERT_EQ(cache.match_prefix(text(70), holder), 64);
  EXPECT_EQ(cache.held_prefix_pages(text(128), {}), 2);
  EXPECT_EQ(cache.held_prefix_pages(text(65), {}), 2);
  EXPECT_EQ(cache.held_prefix_pages(text(64), {}), 1) << "one token has to be computed";
  EXPECT_EQ(cache.held_prefix_pages(text(40) + text(60), {}), 1);
  EXPECT_EQ(cache.held_prefix_pages(text(128), {0, 1}), 0) << "another salt";
  // Taking them leaves as many pages free as there were.
  const int free = cache.free_pages();
  KvSequence other{.key = {}, .pages = {}};
  ASSERT_EQ(cache.match_prefix(text(128), other), 96);
  EXPECT_EQ(cache.free_pages(), free - 1);
  cache.release(other);
  cache.release(holder);
}

TEST(KvCachePrefix, FindsWholePagesButNeverAllTokens) {
  KvCache cache(kShape, /*num_pages=*/8);
  leave_cached(cache, text(100));
  const std::pair<int64_t, int64_t> kLengthAndFound[] = {
      {0, 0},   {1, 0},   {31, 0},  {32, 0},   {33, 32},  {63, 32},  {64, 32},
      {65, 64}, {96, 64}, {97, 96}, {100, 96}, {128, 96}, {200, 96},
  };
  for (const auto& [length, found] : kLengthAndFound) {
    EXPECT_EQ(length_found(cache, text(length)), found) << length;
  }
  EXPECT_EQ(length_found(cache, text(40) + text(60, 1000)), 32);
  EXPECT_EQ(length_found(cache, text(100, 32)), 0) << "a page was found without its parent";
}

TEST(KvCachePrefix, GivesTheStoredKeysValuesAndSideArrays) {
  KvCache cache(kShape, /*num_pages=*/8);
  leave_cached(cache, text(100));
  KvSequence sequence;
  ASSERT_EQ(cache.match_prefix(text(97), sequence), 96);
  expect_contents(cache, sequence, text(96));
  compute(cache, sequence, text(130));
  expect_contents(cache, sequence, text(130));
}

TEST(KvCachePrefix, IsFoundWhileItsMakerStillRuns) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence first;
  compute(cache, first, text(70));
  KvSequence second;
  EXPECT_EQ(cache.match_prefix(text(70), second), 64);
  EXPECT_EQ(second.pages, Tokens(first.pages.begin(), first.pages.begin() + 2));
  EXPECT_EQ(cache.holders(first.pages[0]), 2);
  EXPECT_EQ(cache.pages_in_use(), 3);
}

TEST(KvCachePrefix, NeverCrossesSaltsOrWeightVersions) {
  KvCache cache(kShape, /*num_pages=*/16);
  leave_cached(cache, text(70), {.weight_version = 1, .salt = 1});
  EXPECT_EQ(length_found(cache, text(70), {1, 1}), 64);
  EXPECT_EQ(length_found(cache, text(70), {1, 2}), 0);
  EXPECT_EQ(length_found(cache, text(70), {2, 1}), 0);
  EXPECT_EQ(length_found(cache, text(70), {0, 0}), 0);
  leave_cached(cache, text(70), {.weight_version = 2, .salt = 1});
  EXPECT_EQ(cache.cached_pages(), 4);
}

TEST(KvCachePrefix, CountsTokensAskedForAndFound) {
  KvCache cache(kShape, /*num_pages=*/8);
  leave_cached(cache, text(70));
  EXPECT_EQ(length_found(cache, text(50)), 32);
  EXPECT_EQ(cache.prefix_queries(), 120);
  EXPECT_EQ(cache.prefix_hits(), 32);
}

TEST(KvCachePrefix, IsNotLeftBehindByASequenceThatDoesNotShare) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence sequence;
  compute(cache, sequence, text(70), /*share=*/false);
  cache.release(sequence);
  EXPECT_EQ(length_found(cache, text(70)), 0);
  EXPECT_EQ(cache.cached_pages(), 0);
  EXPECT_EQ(cache.free_pages(), 8);
}

TEST(KvCacheCommit, TakesThePageThatIsThereAlready) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence first;
  KvSequence second;
  ASSERT_TRUE(cache.reserve(second, 70));
  compute(cache, first, text(70));
  const Tokens own = second.pages;
  compute(cache, second, text(70));
  EXPECT_EQ(second.pages[0], first.pages[0]);
  EXPECT_EQ(second.pages[1], first.pages[1]);
  EXPECT_EQ(second.pages[2], own[2]);
  EXPECT_EQ(cache.pages_in_use(), 4);
  expect_contents(cache, second, text(70));
}

TEST(KvCacheCommit, IndexesAPageOnceItIsWhole) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence sequence;
  for (int64_t n = 1; n <= 100; ++n) {
    compute(cache, sequence, text(n));
    EXPECT_EQ(sequence.num_indexed, n / kPageTokens * kPageTokens);
    EXPECT_EQ(length_found(cache, text(200)), n / kPageTokens * kPageTokens);
  }
}

// A fork made before its pages were offered may lack the parents of what another would index.
TEST(KvCacheCommit, DoesNotIndexAPageThatAnUnindexedForkHolds) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence sequence;
  KvSequence copy;
  compute(cache, sequence, text(64), /*share=*/false);
  ASSERT_TRUE(cache.fork(sequence, copy));
  cache.commit(sequence, text(64));
  EXPECT_EQ(length_found(cache, text(65)), 0);
  cache.release(copy);
  cache.commit(sequence, text(64));
  EXPECT_EQ(length_found(cache, text(65)), 64);
}

TEST(KvCacheEviction, TakesTheLeastRecentlyUsedTextFirst) {
  KvCache cache(kShape, /*num_pages=*/4);
  for (const int32_t first : {0, 1000, 2000, 3000}) leave_cached(cache, text(32, first));
  EXPECT_EQ(cache.cached_pages(), 4);
  EXPECT_EQ(length_found(cache, text(33, 1000)), 32);  // used again: 0 and 2000 are older now
  KvSequence sequence;
  ASSERT_TRUE(cache.reserve(sequence, 64));
  EXPECT_EQ(length_found(cache, text(33, 0)), 0);
  EXPECT_EQ(length_found(cache, text(33, 2000)), 0);
  EXPECT_EQ(length_found(cache, text(33, 1000)), 32);
  EXPECT_EQ(length_found(cache, text(33, 3000)), 32);
}

TEST(KvCacheEviction, ShortensATextFromItsEnd) {
  KvCache cache(kShape, /*num_pages=*/5);
  leave_cached(cache, text(160));
  KvSequence sequence;
  for (int64_t num_taken = 1; num_taken <= 5; ++num_taken) {
    ASSERT_TRUE(cache.reserve(sequence, num_taken * kPageTokens));
    EXPECT_EQ(length_found(cache, text(161)), 160 - num_taken * kPageTokens);
  }
}

TEST(KvCacheEviction, KeepsACommonBeginningLongerThanItsBranches) {
  KvCache cache(kShape, /*num_pages=*/4);
  leave_cached(cache, text(32) + text(32, 1000));
  leave_cached(cache, text(32) + text(32, 2000));
  leave_cached(cache, text(32, 5000));
  KvSequence sequence;
  ASSERT_TRUE(cache.reserve(sequence, 64));
  EXPECT_EQ(length_found(cache, text(33)), 32);
  EXPECT_EQ(length_found(cache, text(32) + text(33, 1000)), 32);
  EXPECT_EQ(length_found(cache, text(32) + text(33, 2000)), 32);
  EXPECT_EQ(length_found(cache, text(33, 5000)), 32);
}

TEST(KvCacheEviction, NeverTakesAPageInUse) {
  KvCache cache(kShape, /*num_pages=*/4);
  KvSequence holder;
  compute(cache, holder, text(70));
  for (int32_t i = 1; i < 20; ++i) leave_cached(cache, text(32, i * 1000));
  expect_contents(cache, holder, text(70));
  EXPECT_EQ(length_found(cache, text(70)), 64);
}

TEST(KvCacheReserve, ChangesNothingWhenItFails) {
  KvCache cache(kShape, /*num_pages=*/4);
  leave_cached(cache, text(32));
  KvSequence sequence;
  compute(cache, sequence, text(40, 1000));
  const Tokens pages = sequence.pages;
  EXPECT_EQ(cache.free_pages(), 2);
  EXPECT_FALSE(cache.reserve(sequence, 4 * kPageTokens + 1));
  EXPECT_EQ(sequence.pages, pages);
  EXPECT_EQ(cache.free_pages(), 2);
  EXPECT_EQ(length_found(cache, text(33)), 32) << "a reservation that failed evicted a page";
  EXPECT_TRUE(cache.reserve(sequence, 4 * kPageTokens));
  EXPECT_EQ(cache.free_pages(), 0);
  EXPECT_TRUE(cache.reserve(sequence, 1)) << "what is there already needs no page";
  EXPECT_EQ(sequence.pages.size(), 4u);
}

TEST(KvCacheFork, SharesWholePagesAndCopiesTheRestAtEveryOffset) {
  for (int64_t n = 0; n <= 2 * kPageTokens; ++n) {
    KvCache cache(kShape, /*num_pages=*/8);
    KvSequence sequence;
    KvSequence copy;
    compute(cache, sequence, text(n));
    ASSERT_TRUE(cache.reserve(sequence, n + 5));  // drafts in flight are no part of the fork
    ASSERT_TRUE(cache.fork(sequence, copy));
    for (int64_t i = 0; i < n / kPageTokens; ++i) EXPECT_EQ(copy.pages[i], sequence.pages[i]);
    EXPECT_EQ(static_cast<int64_t>(copy.pages.size()), (n + kPageTokens - 1) / kPageTokens);
    compute(cache, sequence, text(n) + text(40, 1000));
    compute(cache, copy, text(n) + text(40, 2000));
    expect_contents(cache, sequence, text(n) + text(40, 1000));
    expect_contents(cache, copy, text(n) + text(40, 2000));
    cache.release(sequence);
    expect_contents(cache, copy, text(n) + text(40, 2000));
    cache.release(copy);
    EXPECT_EQ(cache.free_pages(), 8);
  }
}

TEST(KvCacheFork, ChangesNothingWhenNoPageIsFree) {
  KvCache cache(kShape, /*num_pages=*/2);
  KvSequence sequence;
  KvSequence copy;
  compute(cache, sequence, text(33));
  EXPECT_FALSE(cache.fork(sequence, copy));
  EXPECT_TRUE(copy.pages.empty());
  EXPECT_EQ(cache.holders(sequence.pages[0]), 1);
  ASSERT_TRUE(cache.rollback(sequence, 32));
  ASSERT_TRUE(cache.reserve(sequence, 64));
  EXPECT_TRUE(cache.fork(sequence, copy)) << "whole pages need no copy";
}

TEST(KvCacheRollback, ForgetsDraftsAndFreesTheirPages) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence sequence;
  compute(cache, sequence, text(40));
  ASSERT_TRUE(cache.reserve(sequence, 200));
  const int32_t partial = sequence.pages[1];
  ASSERT_TRUE(cache.rollback(sequence, 40));
  EXPECT_EQ(cache.pages_in_use(), 2);
  EXPECT_EQ(sequence.pages[1], partial) << "a private page was copied";
  expect_contents(cache, sequence, text(40));
}

TEST(KvCacheRollback, NeverWritesToAPageOfOthers) {
  for (int64_t n = 0; n <= 96; ++n) {
    KvCache cache(kShape, /*num_pages=*/12);
    KvSequence sequence;
    KvSequence copy;
    compute(cache, sequence, text(96));
    ASSERT_TRUE(cache.fork(sequence, copy));
    ASSERT_TRUE(cache.rollback(copy, n));
    expect_contents(cache, copy, text(n));
    compute(cache, copy, text(n) + text(70, 1000));
    expect_contents(cache, sequence, text(96));
    expect_contents(cache, copy, text(n) + text(70, 1000));
  }
}

TEST(KvCacheRollback, LeavesTheIndexAsItWas) {
  for (int64_t n = 0; n <= 64; ++n) {
    KvCache cache(kShape, /*num_pages=*/12);
    KvSequence sequence;
    compute(cache, sequence, text(64));
    ASSERT_TRUE(cache.rollback(sequence, n));
    compute(cache, sequence, text(n) + text(70, 1000));
    KvSequence found;
    ASSERT_EQ(cache.match_prefix(text(65), found), 64);
    expect_contents(cache, found, text(64));
    expect_contents(cache, sequence, text(n) + text(70, 1000));
  }
}

TEST(KvCacheRollback, IsRefusedWhenASharedPageCannotBeCopied) {
  KvCache cache(kShape, /*num_pages=*/2);
  KvSequence sequence;
  KvSequence copy;
  compute(cache, sequence, text(64));
  ASSERT_TRUE(cache.fork(sequence, copy));
  EXPECT_FALSE(cache.rollback(copy, 40));
  EXPECT_EQ(copy.pages, sequence.pages);
  EXPECT_EQ(copy.num_tokens, 64);
  EXPECT_TRUE(cache.rollback(copy, 32));
  EXPECT_EQ(copy.num_tokens, 32);
}

TEST(KvCacheRollback, MayUseThePagesItGivesUp) {
  KvCache cache(kShape, /*num_pages=*/3);
  KvSequence sequence;
  KvSequence copy;
  compute(cache, sequence, text(64));
  ASSERT_TRUE(cache.fork(sequence, copy));
  ASSERT_TRUE(cache.reserve(copy, 65));
  ASSERT_EQ(cache.free_pages(), 0);
  ASSERT_TRUE(cache.rollback(copy, 40));
  EXPECT_TRUE(cache.is_private(copy.pages[1]));
  expect_contents(cache, copy, text(40));
  expect_contents(cache, sequence, text(64));
}

TEST(KvCacheRollback, UnindexesItsOwnPageWhenNoneIsFreeForACopy) {
  KvCache cache(kShape, /*num_pages=*/2);
  KvSequence sequence;
  compute(cache, sequence, text(64));
  ASSERT_TRUE(cache.rollback(sequence, 40));
  EXPECT_TRUE(cache.is_private(sequence.pages[1]));
  expect_contents(cache, sequence, text(40));
  compute(cache, sequence, text(40) + text(24, 1000));
  cache.release(sequence);
  EXPECT_EQ(length_found(cache, text(65)), 32);
  EXPECT_EQ(length_found(cache, text(40) + text(25, 1000)), 64);
}

// Paths through trees of drafts: every choice of 6 slots, chains and strides over more than a page.
std::vector<std::vector<int64_t>> tree_paths() {
  std::vector<std::vector<int64_t>> paths;
  for (int mask = 0; mask < 64; ++mask) {
    std::vector<int64_t> path;
    for (int i = 0; i < 6; ++i) {
      if (mask >> i & 1) path.push_back(i);
    }
    paths.push_back(path);
  }
  for (const int stride : {1, 2, 3, 7, 31, 32, 33, 39}) {
    std::vector<int64_t> path;
    for (int64_t i = 0; i < 40; i += stride) path.push_back(i);
    paths.push_back(path);
    path.erase(path.begin());
    paths.push_back(path);
  }
  return paths;
}

void check_compaction(KvCache& cache, int64_t base, const std::vector<int64_t>& path) {
  constexpr uint64_t kDraft = 5000;
  constexpr int64_t kNumDrafts = 40;
  const int64_t num_path = static_cast<int64_t>(path.size());
  KvSequence sequence;
  compute(cache, sequence, text(base), /*share=*/false);
  ASSERT_TRUE(cache.reserve(sequence, base + kNumDrafts));
  for (int64_t i = 0; i < kNumDrafts; ++i) write(cache, sequence, base + i, kDraft + i);
  std::vector<int64_t> slots = path;
  for (int64_t& slot : slots) slot += base;
  cache.compact(sequence, base, slots);
  expect_contents(cache, sequence, text(base));
  for (int64_t i = 0; i < num_path; ++i) {
    ASSERT_TRUE(holds(cache, sequence, base + i, kDraft + path[i]))
        << "base " << base << " + " << i;
  }
  EXPECT_EQ(static_cast<int64_t>(sequence.pages.size()),
            (base + num_path + kPageTokens - 1) / kPageTokens);
  cache.release(sequence);
  EXPECT_EQ(cache.free_pages(), cache.num_pages());
}

TEST(KvCacheCompact, MovesEveryPathFromEveryOffset) {
  KvCache cache({1, 2, 24, {{"states", 6}}}, /*num_pages=*/4);
  const auto paths = tree_paths();
  for (int64_t base = 0; base <= 2 * kPageTokens; ++base) {
    for (const auto& path : paths) check_compaction(cache, base, path);
  }
}

TEST(KvCacheCompact, KeepsUncommittedSlotsBeforeItsBase) {
  KvCache cache(kShape, /*num_pages=*/4);
  KvSequence sequence;
  compute(cache, sequence, text(30));
  ASSERT_TRUE(cache.reserve(sequence, 36));
  for (int64_t slot = 30; slot < 36; ++slot) write(cache, sequence, slot, slot);
  const int64_t path[] = {33, 35};
  cache.compact(sequence, /*base=*/31, path);
  EXPECT_EQ(sequence.num_tokens, 30);
  EXPECT_TRUE(holds(cache, sequence, 30, 30));
  EXPECT_TRUE(holds(cache, sequence, 31, 33));
  EXPECT_TRUE(holds(cache, sequence, 32, 35));
}

TEST(KvCacheRelease, GivesEverythingBackAndEmptiesTheSequence) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence sequence{.key = {1, 2}, .pages = {}};
  compute(cache, sequence, text(100));
  cache.release(sequence);
  EXPECT_EQ(cache.free_pages(), 8);
  EXPECT_EQ(cache.pages_in_use(), 0);
  EXPECT_EQ(cache.cached_pages(), 3);
  EXPECT_EQ(sequence.key, (PrefixKey{1, 2}));
  EXPECT_TRUE(sequence.pages.empty());
  EXPECT_EQ(sequence.num_tokens, 0);
  EXPECT_EQ(cache.match_prefix(text(100), sequence), 96) << "a preempted sequence finds its text";
}

TEST(KvCacheFlush, DropsEveryTextAndKeepsPagesInUse) {
  KvCache cache(kShape, /*num_pages=*/8);
  leave_cached(cache, text(64, 1000));
  KvSequence sequence;
  compute(cache, sequence, text(70));
  cache.flush();
  EXPECT_EQ(cache.cached_pages(), 0);
  EXPECT_EQ(cache.pages_in_use(), 3);
  EXPECT_EQ(length_found(cache, text(65, 1000)), 0);
  EXPECT_EQ(length_found(cache, text(65)), 0);
  compute(cache, sequence, text(130));
  expect_contents(cache, sequence, text(130));
  EXPECT_EQ(length_found(cache, text(130)), 0) << "a flushed text came back";
  cache.release(sequence);
  EXPECT_EQ(cache.cached_pages(), 0);
  leave_cached(cache, text(70));
  EXPECT_EQ(length_found(cache, text(70)), 64);
}

// One of everything the engine does between two steps.
void run_all_operations(KvCache& cache, KvSequence& sequence, KvSequence& copy,
                        std::span<const int32_t> tokens) {
  cache.match_prefix(tokens, sequence);
  ASSERT_TRUE(cache.reserve(sequence, 120));
  cache.commit(sequence, tokens.first(100));
  const int64_t path[] = {100, 103, 110};
  cache.compact(sequence, 100, path);
  cache.commit(sequence, tokens.first(103));
  ASSERT_TRUE(cache.fork(sequence, copy));
  ASSERT_TRUE(cache.rollback(copy, 70));
  cache.release(sequence);
  cache.release(copy);
}

TEST(KvCache, AllocatesNothingOnceBuilt) {
  KvCache cache(kShape, /*num_pages=*/8);
  KvSequence sequence;
  KvSequence copy;
  sequence.pages.reserve(8);
  copy.pages.reserve(8);
  const Tokens tokens = text(2000);
  const int64_t before = num_allocations;
  for (int i = 0; i < 100; ++i) {
    run_all_operations(cache, sequence, copy, std::span(tokens).subspan(i % 7 * 100));
    if (i % 50 == 49) cache.flush();
  }
  EXPECT_EQ(num_allocations - before, 0);
  EXPECT_GT(before, 0) << "allocations are not counted";
}

}  // namespace
}  // namespace forerun
