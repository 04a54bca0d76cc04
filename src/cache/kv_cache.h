#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/kv_pool.h"
#include "cache/lru_pages.h"
#include "cache/prefix_index.h"
#include "kernels/attention.h"

namespace forerun {

// The pages of one sequence: slot s of the sequence is slot s % 32 of pages[s / 32]. Owned by hand:
// released once by KvCache::release, never copied while it holds pages (fork does that).
struct KvSequence {
  PrefixKey key;               // set while empty
  std::vector<int32_t> pages;  // reserve its capacity once; the cache allocates nothing else
  int64_t num_tokens = 0;      // committed: position p stands in slot p for p < num_tokens
  int64_t num_indexed = 0;     // of them, in whole pages offered to the prefix index
};

// Owns the pages of a KvPool: who uses which, which hold a prefix that may be used again, which one
// goes first when memory is short. Pages are counted; an indexed page that no sequence holds stays
// findable until its memory is needed.
//
// Two rules keep texts apart and the index whole:
//   - A page that several sequences hold, or that is indexed, lies wholly before the committed end
//     of each holder. Slots from num_tokens on are therefore private to the sequence: write there
//     and nowhere else.
//   - Whoever holds an indexed page holds its parents, and pages are given up deepest first. In the
//     order of last use a parent thus comes after its children, and the page evicted (the oldest)
//     is always the end of every chain it is in.
//
// One thread only. Nothing here allocates memory after construction, except a sequence's page list
// that outgrows its capacity.
class KvCache final {
 public:
  KvCache(const KvShape& shape, int num_pages, PageHashFunction hash = hash_page);

  KvPool& pool() { return pool_; }

  // Takes the longest indexed prefix of `tokens` in whole pages, but never all of the tokens (at
  // least one must be computed). `sequence` is empty but for its key. Returns the tokens found.
  int64_t match_prefix(std::span<const int32_t> tokens, KvSequence& sequence);

  // How many of the pages that match_prefix would find some sequence holds: taking those leaves as
  // many pages free as there were.
  int held_prefix_pages(std::span<const int32_t> tokens, const PrefixKey& key) const;

  // Makes room for slots [0, num_slots). False, with nothing changed, when too few pages are free
  // or evictable.
  [[nodiscard]] bool reserve(KvSequence& sequence, int64_t num_slots);

  // `tokens`, the whole sequence so far, are computed; O(pages filled since the last commit). Those
  // pages enter the prefix index when `share`. Where the index has a page of this text already, the
  // sequence takes it and gives up its own: read sequence.pages anew after a commit. A sequence
  // whose pages were flushed offers no more.
  void commit(KvSequence& sequence, std::span<const int32_t> tokens, bool share = true);

  // Makes `copy`, an empty sequence, hold the same committed tokens: whole pages are shared, the
  // last partial one is copied. False, with nothing changed, when no page is free for that.
  [[nodiscard]] bool fork(const KvSequence& sequence, KvSequence& copy);

  // Forgets slots from `num_slots` on and frees the pages beyond; the committed length shrinks with
  // it. A page cut in the middle that is shared or indexed stays as it is and the sequence gets a
  // copy of the slots it keeps. False, with nothing changed, when that takes a page and there is
  // none (never when num_slots is a page boundary or at least num_tokens).
  [[nodiscard]] bool rollback(KvSequence& sequence, int64_t num_slots);

  // After a tree was verified: moves the accepted path's tokens, standing in ascending slots
  // `path`, to slots base, base + 1, …, and forgets what lies behind. Slots before `base` stay;
  // base is not below num_tokens. Does not commit.
  void compact(KvSequence& sequence, int64_t base, std::span<const int64_t> path);

  // Frees everything the sequence holds and empties it but for its key; indexed pages stay
  // findable.
  void release(KvSequence& sequence);

  // Empties the prefix index (pages in use stay in use).
  void flush();

  int num_pages() const { return pool_.num_pages(); }
  // Free or evictable now.
  int free_pages() const { return static_cast<int>(unused_.size()) + cached_.size(); }
  // Findable, and evictable: held by no sequence.
  int cached_pages() const { return cached_.size(); }
  // Held by some sequence.
  int pages_in_use() const { return num_pages() - free_pages(); }
  // How many sequences hold the page.
  int holders(int page) const { return holders_[page]; }
  // May its only holder write to it?
  bool is_private(int page) const { return holders_[page] == 1 && !index_.contains(page); }

  int64_t prefix_queries() const { return prefix_queries_; }  // tokens asked for
  int64_t prefix_hits() const { return prefix_hits_; }        // tokens found

 private:
  int take_free_page();
  void take(int page);
  void give_up(int page);
  void give_up_beyond(KvSequence& sequence, int64_t num_kept);
  int index_page(const KvSequence& sequence, PageTokens tokens);
  bool can_cut(const KvSequence& sequence, int64_t num_slots) const;
  void make_private(KvSequence& sequence, int64_t page_id, int num_slots);

  KvPool pool_;
  PrefixIndex index_;
  LruPages cached_;              // indexed, held by nobody
  std::vector<int32_t> unused_;  // neither indexed nor held
  std::vector<int32_t> holders_;
  int64_t prefix_queries_ = 0;
  int64_t prefix_hits_ = 0;
};

}  // namespace forerun
