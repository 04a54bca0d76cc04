#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cache/kv_pool.h"
#include "kernels/attention.h"

namespace forerun {

// What must agree, besides the tokens, for one sequence's keys and values to serve another.
struct PrefixKey {
  uint64_t weight_version = 0;
  uint64_t salt = 0;  // a tenant's secret, or 0: nobody's text helps another without leave
};

// The pages of one sequence: slot s of the sequence is slot s % 32 of pages[s / 32].
struct KvSequence {
  PrefixKey key;
  std::vector<int32_t> pages;
  int64_t num_tokens = 0;       // committed: position p stands in slot p for p < num_tokens
  int64_t num_indexed = 0;      // whole pages already offered to the prefix index, in tokens
  uint64_t chain_hash = 0;      // of the indexed pages
};

// Owns the pages of a KvPool: who uses which, which hold a prefix that may be used again, which one
// goes first when memory is short. Pages are counted; a page of a finished sequence stays findable
// until its memory is needed (least recently used first). One thread only; nothing here allocates
// memory after construction except a sequence's page list (reserve it).
class KvCache final {
 public:
  KvCache(const KvShape& shape, int num_pages);

  KvPool& pool() { return pool_; }

  // Takes the longest indexed prefix of `tokens` in whole pages, but never all of the tokens (at
  // least one must be computed). `sequence` is empty but for its key. Returns the tokens found.
  int64_t match_prefix(std::span<const int32_t> tokens, KvSequence& sequence);

  // Makes room for slots [0, num_slots). False, with nothing changed, when too few pages are free or
  // evictable.
  bool reserve(KvSequence& sequence, int64_t num_slots);

  // The sequence's tokens up to `tokens.size()` are computed; whole pages enter the prefix index
  // (when `share`). A page whose content is indexed already stays private.
  void commit(KvSequence& sequence, std::span<const int32_t> tokens, bool share = true);

  // A second sequence with the same committed tokens: whole pages are shared, the last partial one is
  // copied. nullopt when no page is free for the copy.
  std::optional<KvSequence> fork(const KvSequence& sequence);

  // Forgets slots from `num_slots` on and frees the pages beyond; the committed length shrinks with
  // it. Whole shared pages are never written again, so num_slots may lie inside one only if this
  // sequence alone holds it.
  void rollback(KvSequence& sequence, int64_t num_slots);

  // After a tree was verified: moves the accepted path's tokens, standing in ascending slots `path`,
  // to slots base, base + 1, …, and forgets what lies behind. Does not commit.
  void compact(KvSequence& sequence, int64_t base, std::span<const int64_t> path);

  // Frees everything the sequence holds.
  void release(KvSequence& sequence);

  // Empties the prefix index (pages in use stay in use).
  void flush();

  int num_pages() const { return pool_.num_pages(); }
  int free_pages() const;       // free or evictable now
  int pages_in_use() const;     // held by some sequence
  int64_t prefix_queries() const { return prefix_queries_; }  // tokens asked for
  int64_t prefix_hits() const { return prefix_hits_; }        // tokens found

 private:
  KvPool pool_;
  int64_t prefix_queries_ = 0;
  int64_t prefix_hits_ = 0;
};

}  // namespace forerun
