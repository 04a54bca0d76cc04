#include "cache/prefix_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace forerun {
namespace {

// The first word is mixed into something other than 0, which mix() maps to itself.
constexpr uint64_t kHashSeed = 0x9e3779b97f4a7c15;

// One round of a multiply-xorshift mix; the constants are MurmurHash3's finaliser (Appleby, 2008).
uint64_t mix(uint64_t hash, uint64_t word) {
  hash ^= word;
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
  return hash ^ hash >> 33;
}

}  // namespace

uint64_t hash_page(const PrefixKey& key, uint64_t parent_hash, PageTokens tokens) {
  uint64_t hash = mix(mix(mix(kHashSeed, parent_hash), key.weight_version), key.salt);
  for (int i = 0; i < kPageTokens; i += 2) {
    hash = mix(hash, uint64_t{static_cast<uint32_t>(tokens[i])} << 32 |
                         static_cast<uint32_t>(tokens[i + 1]));
  }
  return hash;
}

PrefixIndex::PrefixIndex(int num_pages, PageHashFunction hash)
    : hash_(hash),
      nodes_(num_pages),
      buckets_(std::bit_ceil(static_cast<size_t>(std::max(num_pages, 1))), kNoPage) {}

uint64_t PrefixIndex::hash_after(const PrefixKey& key, int parent, PageTokens tokens) const {
  return hash_(key, parent == kNoPage ? 0 : nodes_[parent].hash, tokens);
}

int PrefixIndex::find(const PrefixKey& key, int parent, PageTokens tokens) const {
  CHECK(parent == kNoPage || contains(parent), "a prefix is walked through indexed pages only");
  const uint64_t hash = hash_after(key, parent, tokens);
  const uint64_t parent_serial = serial_of(parent);
  int page = buckets_[hash & (buckets_.size() - 1)];
  for (; page != kNoPage; page = nodes_[page].next_in_bucket) {
    const Node& node = nodes_[page];
    if (node.hash == hash && node.parent_serial == parent_serial && node.key == key &&
        std::ranges::equal(node.tokens, tokens)) {
      return page;
    }
  }
  return kNoPage;
}

void PrefixIndex::insert(const PrefixKey& key, int parent, PageTokens tokens, int page) {
  CHECK(!contains(page), "a page stands for one text");
  CHECK(parent == kNoPage || contains(parent), "a page is indexed after its parent");
  Node& node = nodes_[page];
  node.serial = ++last_serial_;
  node.parent_serial = serial_of(parent);
  node.hash = hash_after(key, parent, tokens);
  node.key = key;
  std::ranges::copy(tokens, node.tokens.begin());
  node.next_in_bucket = bucket(node.hash);
  bucket(node.hash) = page;
}

void PrefixIndex::erase(int page) {
  CHECK(contains(page), "only an indexed page can leave the index");
  Node& node = nodes_[page];
  int32_t* link = &bucket(node.hash);
  while (*link != page) link = &nodes_[*link].next_in_bucket;
  *link = node.next_in_bucket;
  node.serial = 0;
}

void PrefixIndex::clear() {
  for (Node& node : nodes_) node.serial = 0;
  std::ranges::fill(buckets_, kNoPage);
}

}  // namespace forerun
