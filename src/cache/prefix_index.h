#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "cache/lru_pages.h"
#include "kernels/attention.h"

namespace forerun {

// What must agree, besides the tokens, for one sequence's keys and values to serve another.
struct PrefixKey {
  uint64_t weight_version = 0;
  uint64_t salt = 0;  // a tenant's secret, or 0: nobody's text helps another without leave

  bool operator==(const PrefixKey&) const = default;
};

using PageTokens = std::span<const int32_t, kPageTokens>;

// Hash of a page's tokens and, through its parent's hash (0 for a first page), of all before it.
using PageHashFunction = uint64_t (*)(const PrefixKey& key, uint64_t parent_hash,
                                      PageTokens tokens);
uint64_t hash_page(const PrefixKey& key, uint64_t parent_hash, PageTokens tokens);

// Which page holds a given text: a forest whose nodes are pages, found by (key, parent, tokens).
// The hash only finds candidates. A hit also agrees in key, tokens and parent, and a parent is
// known by a number never given twice, so that by induction a hit stands for exactly the text asked
// for, whatever collides and whatever page was evicted and used again. A page whose parent left the
// index cannot be found any more. Nothing allocates after construction.
class PrefixIndex final {
 public:
  explicit PrefixIndex(int num_pages, PageHashFunction hash = hash_page);

  bool contains(int page) const { return nodes_[page].serial != 0; }

  // The page that holds `tokens` after `parent` (kNoPage: at the beginning), or kNoPage. `parent`
  // is in the index.
  int find(const PrefixKey& key, int parent, PageTokens tokens) const;

  // Makes `page` findable. It is not in the index yet, nor is a page of this text; `parent` is.
  void insert(const PrefixKey& key, int parent, PageTokens tokens, int page);

  void erase(int page);
  void clear();

 private:
  struct Node {
    uint64_t serial = 0;  // 0: not in the index
    uint64_t parent_serial = 0;
    uint64_t hash = 0;
    PrefixKey key;
    int32_t next_in_bucket = kNoPage;
    std::array<int32_t, kPageTokens> tokens;
  };

  // The root of every chain has serial and hash 0.
  uint64_t serial_of(int page) const { return page == kNoPage ? 0 : nodes_[page].serial; }
  uint64_t hash_after(const PrefixKey& key, int parent, PageTokens tokens) const;
  int32_t& bucket(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }

  PageHashFunction hash_;
  std::vector<Node> nodes_;       // by page
  std::vector<int32_t> buckets_;  // first page of each chain; a power of two of them
  uint64_t last_serial_ = 0;
};

}  // namespace forerun
