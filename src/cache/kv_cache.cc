#include "cache/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace forerun {
namespace {

PageTokens page_tokens(std::span<const int32_t> tokens, int64_t begin) {
  return tokens.subspan(begin).first<kPageTokens>();
}

int num_kept_in_last_page(int64_t num_slots) {
  return static_cast<int>(num_slots % kPageTokens);
}

}  // namespace

KvCache::KvCache(const KvShape& shape, int num_pages, PageHashFunction hash)
    : pool_(shape, num_pages),
      index_(num_pages, hash),
      cached_(num_pages),
      unused_(num_pages),
      holders_(num_pages, 0) {
  // Taken from the back: low pages first, so that memory is touched only as far as it is needed.
  for (int i = 0; i < num_pages; ++i) unused_[i] = num_pages - 1 - i;
}

int64_t KvCache::match_prefix(std::span<const int32_t> tokens, KvSequence& sequence) {
  CHECK(sequence.pages.empty(), "a prefix is matched into an empty sequence");
  const int64_t num_tokens = static_cast<int64_t>(tokens.size());
  int64_t found = 0;
  int parent = kNoPage;
  while (found + kPageTokens < num_tokens) {
    const int page = index_.find(sequence.key, parent, page_tokens(tokens, found));
    if (page == kNoPage) break;
    take(page);
    sequence.pages.push_back(page);
    parent = page;
    found += kPageTokens;
  }
  sequence.num_tokens = found;
  sequence.num_indexed = found;
  prefix_queries_ += num_tokens;
  prefix_hits_ += found;
  return found;
}

int KvCache::held_prefix_pages(std::span<const int32_t> tokens, const PrefixKey& key) const {
  int num_held = 0;
  int parent = kNoPage;
  for (int64_t at = 0; at + kPageTokens < static_cast<int64_t>(tokens.size()); at += kPageTokens) {
    const int page = index_.find(key, parent, page_tokens(tokens, at));
    // Whoever holds a page holds its parents: none after an unheld one is held.
    if (page == kNoPage || holders_[page] == 0) break;
    ++num_held;
    parent = page;
  }
  return num_held;
}

bool KvCache::reserve(KvSequence& sequence, int64_t num_slots) {
  const int64_t num_held = static_cast<int64_t>(sequence.pages.size());
  const int64_t num_missing = pages_for(num_slots) - num_held;
  if (num_missing > free_pages()) return false;
  for (int64_t i = 0; i < num_missing; ++i) sequence.pages.push_back(take_free_page());
  return true;
}

void KvCache::commit(KvSequence& sequence, std::span<const int32_t> tokens, bool share) {
  const int64_t num_tokens = static_cast<int64_t>(tokens.size());
  CHECK(num_tokens >= sequence.num_tokens, "a sequence shrinks by rollback, not by commit");
  CHECK(pages_for(num_tokens) <= static_cast<int64_t>(sequence.pages.size()),
        "tokens are committed to reserved slots");
  sequence.num_tokens = num_tokens;
  if (!share) return;
  while (sequence.num_indexed + kPageTokens <= num_tokens) {
    int32_t& own = sequence.pages[sequence.num_indexed / kPageTokens];
    const int indexed = index_page(sequence, page_tokens(tokens, sequence.num_indexed));
    if (indexed == kNoPage) return;
    if (indexed != own) {
      take(indexed);
      give_up(own);
      own = indexed;
    }
    sequence.num_indexed += kPageTokens;
  }
}

// The indexed page of the sequence's next unindexed tokens, its own if there was none; kNoPage if
// they cannot be indexed: their parent was flushed, or a fork made before they were offered holds
// their page and may not hold its parent.
int KvCache::index_page(const KvSequence& sequence, PageTokens tokens) {
  const int64_t page_id = sequence.num_indexed / kPageTokens;
  const int own = sequence.pages[page_id];
  const int parent = page_id == 0 ? kNoPage : sequence.pages[page_id - 1];
  if (parent != kNoPage && !index_.contains(parent)) return kNoPage;
  const int found = index_.find(sequence.key, parent, tokens);
  if (found != kNoPage) return found;
  if (!is_private(own)) return kNoPage;
  index_.insert(sequence.key, parent, tokens, own);
  return own;
}

bool KvCache::fork(const KvSequence& sequence, KvSequence& copy) {
  CHECK(copy.pages.empty() && &copy != &sequence, "a fork is made in an empty sequence");
  const int num_partial = num_kept_in_last_page(sequence.num_tokens);
  if (num_partial > 0 && free_pages() == 0) return false;
  const int64_t num_whole = sequence.num_tokens / kPageTokens;
  copy.key = sequence.key;
  copy.num_tokens = sequence.num_tokens;
  copy.num_indexed = sequence.num_indexed;
  copy.pages.assign(sequence.pages.begin(), sequence.pages.begin() + num_whole);
  for (const int32_t page : copy.pages) take(page);
  if (num_partial > 0) {
    copy.pages.push_back(take_free_page());
    pool_.copy_page(sequence.pages[num_whole], copy.pages.back(), num_partial);
  }
  return true;
}

bool KvCache::rollback(KvSequence& sequence, int64_t num_slots) {
  CHECK(num_slots >= 0, "a sequence has no slots before its first");
  if (!can_cut(sequence, num_slots)) return false;
  give_up_beyond(sequence, pages_for(num_slots));
  const int64_t last = num_slots / kPageTokens;
  if (last < static_cast<int64_t>(sequence.pages.size()) && !is_private(sequence.pages[last])) {
    make_private(sequence, last, num_kept_in_last_page(num_slots));
  }
  sequence.num_tokens = std::min(sequence.num_tokens, num_slots);
  sequence.num_indexed = std::min(sequence.num_indexed, last * kPageTokens);
  return true;
}

// Whether the page that `num_slots` cuts in two can be made private: it is, or nobody else holds
// it, or a page is free for a copy, if only once the pages behind it are given up.
bool KvCache::can_cut(const KvSequence& sequence, int64_t num_slots) const {
  const size_t cut = static_cast<size_t>(num_slots / kPageTokens);
  if (num_slots % kPageTokens == 0 || cut >= sequence.pages.size()) return true;
  if (holders_[sequence.pages[cut]] == 1 || free_pages() > 0) return true;
  return std::any_of(sequence.pages.begin() + cut + 1, sequence.pages.end(),
                     [this](int32_t page) { return holders_[page] == 1; });
}

void KvCache::make_private(KvSequence& sequence, int64_t page_id, int num_slots) {
  int32_t& page = sequence.pages[page_id];
  if (free_pages() == 0) {
    // Held by this sequence alone (can_cut). No indexed page follows it: that one would be cached,
    // or in use by someone who held this one too.
    index_.erase(page);
    return;
  }
  const int fresh = take_free_page();
  pool_.copy_page(page, fresh, num_slots);
  give_up(page);
  page = fresh;
}

void KvCache::compact(KvSequence& sequence, int64_t base, std::span<const int64_t> path) {
  const int64_t num_reserved = static_cast<int64_t>(sequence.pages.size()) * kPageTokens;
  CHECK(base >= sequence.num_tokens && base <= num_reserved,
        "a tree stands behind the committed tokens, in reserved slots");
  int64_t to = base;
  for (const int64_t from : path) {
    CHECK(from >= to && from < num_reserved,
          "a path's slots ascend, from base to the reserved end");
    if (from != to) {
      pool_.copy_token(sequence.pages[from / kPageTokens], static_cast<int>(from % kPageTokens),
                       sequence.pages[to / kPageTokens], static_cast<int>(to % kPageTokens));
    }
    ++to;
  }
  give_up_beyond(sequence, pages_for(to));
}

void KvCache::release(KvSequence& sequence) {
  give_up_beyond(sequence, 0);
  sequence.num_tokens = 0;
  sequence.num_indexed = 0;
}

void KvCache::flush() {
  index_.clear();
  while (cached_.size() > 0) {
    const int page = cached_.oldest();
    cached_.remove(page);
    unused_.push_back(page);
  }
}

int KvCache::take_free_page() {
  int page = kNoPage;
  if (unused_.empty()) {
    page = cached_.oldest();
    CHECK(page != kNoPage, "a page is taken only when one is free");
    cached_.remove(page);
    index_.erase(page);
  } else {
    page = unused_.back();
    unused_.pop_back();
  }
  holders_[page] = 1;
  return page;
}

void KvCache::take(int page) {
  if (holders_[page]++ > 0) return;
  cached_.remove(page);
}

void KvCache::give_up(int page) {
  CHECK(holders_[page] > 0, "a page is given up by a holder");
  if (--holders_[page] > 0) return;
  if (index_.contains(page)) {
    cached_.push_newest(page);
  } else {
    unused_.push_back(page);
  }
}

// Deepest first, see the rules above the class.
void KvCache::give_up_beyond(KvSequence& sequence, int64_t num_kept) {
  while (static_cast<int64_t>(sequence.pages.size()) > num_kept) {
    give_up(sequence.pages.back());
    sequence.pages.pop_back();
  }
}

}  // namespace forerun
