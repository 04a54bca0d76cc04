// Thousands of random operations on a KvCache and on a reference that keeps whole texts instead of
// hashes and counts holders by looking at every sequence.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "cache/kv_cache.h"
#include "cache/slot_contents.h"

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;
using KeyValues = std::pair<uint64_t, uint64_t>;
using Text = std::pair<KeyValues, Tokens>;  // whole pages from the beginning

constexpr int kNumPages = 14;
constexpr int kNumSequences = 5;
constexpr int64_t kMaxTokens = 6 * kPageTokens;

struct ModelPage {
  bool indexed = false;
  Text text;
};
using ModelPagePtr = std::shared_ptr<ModelPage>;

struct ModelSequence {
  KeyValues key;
  Tokens tokens;  // committed
  std::vector<ModelPagePtr> pages;
  int64_t num_indexed = 0;
};

class Model {
 public:
  ModelSequence sequences[kNumSequences];

  int64_t match(ModelSequence& s, const Tokens& tokens) {
    for (size_t n = kPageTokens; n < tokens.size(); n += kPageTokens) {
      const auto found = index_.find({s.key, Tokens(tokens.begin(), tokens.begin() + n)});
      if (found == index_.end()) break;
      cached_.remove(found->second);
      s.pages.push_back(found->second);
    }
    s.num_indexed = static_cast<int64_t>(s.pages.size()) * kPageTokens;
    s.tokens.assign(tokens.begin(), tokens.begin() + s.num_indexed);
    return s.num_indexed;
  }

  bool reserve(ModelSequence& s, int64_t num_slots) {
    const int64_t missing = pages_for(num_slots) - static_cast<int64_t>(s.pages.size());
    if (missing > num_free()) return false;
    for (int64_t i = 0; i < missing; ++i) s.pages.push_back(fresh());
    return true;
  }

  void commit(ModelSequence& s, const Tokens& tokens, bool share) {
    s.tokens = tokens;
    while (share && s.num_indexed + kPageTokens <= static_cast<int64_t>(tokens.size())) {
      const int64_t i = s.num_indexed / kPageTokens;
      if (i > 0 && !s.pages[i - 1]->indexed) return;
      const Text text{s.key, Tokens(tokens.begin(), tokens.begin() + (i + 1) * kPageTokens)};
      const auto found = index_.find(text);
      if (found == index_.end() && !is_private(s.pages[i])) return;
      if (found == index_.end()) {
        *s.pages[i] = {true, text};
        index_[text] = s.pages[i];
      } else if (found->second != s.pages[i]) {
        cached_.remove(found->second);
        s.pages[i] = found->second;
      }
      s.num_indexed += kPageTokens;
    }
  }

  bool fork(const ModelSequence& from, ModelSequence& to) {
    const bool partial = from.tokens.size() % kPageTokens != 0;
    if (partial && num_free() == 0) return false;
    to = from;
    to.pages.resize(from.tokens.size() / kPageTokens);
    if (partial) to.pages.push_back(fresh());
    return true;
  }

  bool rollback(ModelSequence& s, int64_t n) {
    const size_t cut = static_cast<size_t>(n / kPageTokens);
    const bool cuts = n % kPageTokens != 0 && cut < s.pages.size() && !is_private(s.pages[cut]);
    if (cuts && holders(s.pages[cut]) > 1 && num_free() == 0) {
      bool frees = false;
      for (size_t i = cut + 1; i < s.pages.size(); ++i) frees |= holders(s.pages[i]) == 1;
      if (!frees) return false;
    }
    give_up_beyond(s, pages_for(n));
    if (cuts) cut_page(s, cut);
    if (n < static_cast<int64_t>(s.tokens.size())) s.tokens.resize(n);
    s.num_indexed = std::min(s.num_indexed, n / kPageTokens * kPageTokens);
    return true;
  }

  void give_up_beyond(ModelSequence& s, int64_t num_kept) {
    while (static_cast<int64_t>(s.pages.size()) > num_kept) {
      const ModelPagePtr page = s.pages.back();
      s.pages.pop_back();
      if (page->indexed && holders(page) == 0) cached_.push_back(page);
    }
  }

  void release(ModelSequence& s) {
    give_up_beyond(s, 0);
    s = {};
  }

  void flush() {
    for (auto& [text, page] : index_) page->indexed = false;
    index_.clear();
    cached_.clear();
  }

  int num_in_use() const {
    std::set<ModelPagePtr> pages;
    for (const ModelSequence& s : sequences) pages.insert(s.pages.begin(), s.pages.end());
    return static_cast<int>(pages.size());
  }
  int num_cached() const { return static_cast<int>(cached_.size()); }
  int num_free() const { return kNumPages - num_in_use(); }

  int holders(const ModelPagePtr& page) const {
    int64_t n = 0;
    for (const ModelSequence& s : sequences) n += std::ranges::count(s.pages, page);
    return static_cast<int>(n);
  }
  bool is_private(const ModelPagePtr& page) const { return !page->indexed && holders(page) == 1; }

 private:
  static int64_t pages_for(int64_t num_slots) {
    return (num_slots + kPageTokens - 1) / kPageTokens;
  }

  ModelPagePtr fresh() {
    if (num_in_use() + num_cached() == kNumPages) {
      index_.erase(cached_.front()->text);
      cached_.pop_front();
    }
    return std::make_shared<ModelPage>();
  }

  void cut_page(ModelSequence& s, size_t cut) {
    const ModelPagePtr page = s.pages[cut];
    if (num_free() == 0) {
      index_.erase(page->text);
      page->indexed = false;
      return;
    }
    s.pages[cut] = fresh();
    if (page->indexed && holders(page) == 0) cached_.push_back(page);
  }

  std::map<Text, ModelPagePtr> index_;
  std::list<ModelPagePtr> cached_;  // least recently used first
};

// A slot's contents stand for everything they were computed from.
uint64_t stamp_of(const KeyValues& key, std::span<const int32_t> tokens) {
  uint64_t stamp = spread(key.first * 1000 + key.second);
  for (const int32_t token : tokens) stamp = spread(stamp + token);
  return stamp;
}

uint64_t weak_hash(const PrefixKey& key, uint64_t parent_hash, PageTokens tokens) {
  return hash_page(key, parent_hash, tokens) % 2;
}

class Run {
 public:
  Run(PageHashFunction hash, uint32_t seed)
      : cache_({1, 1, 16, {{"states", 3}}}, kNumPages, hash), random_(seed) {}

  void step() {
    const int i = below(kNumSequences);
    const int kind = below(320);
    if (kind < 60) {
      begin(i);
    } else if (kind < 140) {
      extend(i);
    } else if (kind < 220) {
      verify_tree(i);
    } else if (kind < 240) {
      fork(i, below(kNumSequences));
    } else if (kind < 280) {
      rollback(i);
    } else if (kind < 300) {
      reserve(i);
    } else if (kind < 319) {
      release(i);
    } else {
      flush();
    }
  }

  void check() {
    int64_t num_held = 0;
    std::map<ModelPage*, int32_t> page_of;
    for (int i = 0; i < kNumSequences; ++i) {
      ASSERT_NO_FATAL_FAILURE(check_sequence(i, page_of));
      num_held += static_cast<int64_t>(sequences_[i].pages.size());
    }
    int64_t num_holders = 0;
    for (int page = 0; page < kNumPages; ++page) num_holders += cache_.holders(page);
    ASSERT_EQ(num_holders, num_held);
    ASSERT_EQ(cache_.pages_in_use(), model_.num_in_use());
    ASSERT_EQ(cache_.cached_pages(), model_.num_cached());
    ASSERT_EQ(cache_.free_pages(), model_.num_free());
    std::set<int32_t> distinct;
    for (const auto& [model_page, page] : page_of) distinct.insert(page);
    ASSERT_EQ(distinct.size(), page_of.size()) << "one page stands for two";
  }

  int64_t num_found() const { return num_found_; }
  int num_refused() const { return num_refused_; }

 private:
  int below(int n) { return static_cast<int>(random_() % n); }

  void check_sequence(int i, std::map<ModelPage*, int32_t>& page_of) {
    const KvSequence& s = sequences_[i];
    const ModelSequence& m = model_.sequences[i];
    ASSERT_EQ(s.num_tokens, static_cast<int64_t>(m.tokens.size()));
    ASSERT_EQ(s.num_indexed, m.num_indexed);
    ASSERT_EQ(s.pages.size(), m.pages.size());
    for (size_t p = 0; p < s.pages.size(); ++p) {
      const int32_t page = page_of.try_emplace(m.pages[p].get(), s.pages[p]).first->second;
      ASSERT_EQ(page, s.pages[p]);
      ASSERT_EQ(cache_.holders(page), model_.holders(m.pages[p]));
      ASSERT_EQ(cache_.is_private(page), model_.is_private(m.pages[p]));
      if (static_cast<int64_t>((p + 1) * kPageTokens) > s.num_tokens) {
        ASSERT_TRUE(cache_.is_private(page)) << "two may write to a page";
      }
    }
    for (size_t n = 1; n <= m.tokens.size(); ++n) {
      ASSERT_TRUE(holds(s, n - 1, stamp_of(m.key, std::span(m.tokens).first(n))));
    }
  }

  bool holds(const KvSequence& s, int64_t slot, uint64_t stamp) {
    return slot_holds(cache_.pool(), s.pages[slot / kPageTokens], slot % kPageTokens, stamp);
  }
  void write(const KvSequence& s, int64_t slot, uint64_t stamp) {
    write_slot(cache_.pool(), s.pages[slot / kPageTokens], slot % kPageTokens, stamp);
  }

  // Few different texts, so that they often meet: within a page tokens ascend from one of two.
  Tokens extended(Tokens tokens, int64_t num_more) {
    for (; num_more > 0 && static_cast<int64_t>(tokens.size()) < kMaxTokens; --num_more) {
      const bool page_begins = tokens.size() % kPageTokens == 0;
      tokens.push_back(page_begins ? below(2) * 1000 : tokens.back() + 1);
    }
    return tokens;
  }

  void begin(int i) {
    release(i);
    const KeyValues key{below(8) == 0, below(8) == 0};
    sequences_[i].key = {key.first, key.second};
    model_.sequences[i].key = key;
    const Tokens prompt = extended({}, below(kMaxTokens));
    const int64_t found = model_.match(model_.sequences[i], prompt);
    ASSERT_EQ(cache_.match_prefix(prompt, sequences_[i]), found);
    num_found_ += found;
    compute(i, prompt);
  }

  void extend(int i) { compute(i, extended(model_.sequences[i].tokens, below(70))); }

  void compute(int i, const Tokens& tokens) {
    if (!reserve_both(i, static_cast<int64_t>(tokens.size()))) return;
    for (size_t n = model_.sequences[i].tokens.size(); n < tokens.size(); ++n) {
      write(sequences_[i], n, stamp_of(model_.sequences[i].key, std::span(tokens).first(n + 1)));
    }
    commit(i, tokens);
  }

  void commit(int i, const Tokens& tokens) {
    const bool share = below(8) != 0;
    cache_.commit(sequences_[i], tokens, share);
    model_.commit(model_.sequences[i], tokens, share);
  }

  bool reserve_both(int i, int64_t num_slots) {
    const bool expected = model_.reserve(model_.sequences[i], num_slots);
    EXPECT_EQ(cache_.reserve(sequences_[i], num_slots), expected);
    num_refused_ += !expected;
    return expected;
  }

  void reserve(int i) { reserve_both(i, below(kMaxTokens + 100)); }

  // A tree of drafts behind the committed tokens, of which a random path is accepted.
  void verify_tree(int i) {
    const int64_t base = static_cast<int64_t>(model_.sequences[i].tokens.size());
    const int64_t num_drafts = 1 + below(12);
    if (!reserve_both(i, base + num_drafts)) return;
    std::vector<int64_t> path;
    Tokens tokens = model_.sequences[i].tokens;
    for (int64_t slot = base; slot < base + num_drafts; ++slot) {
      write(sequences_[i], slot, random_());
      if (below(2) == 0 || static_cast<int64_t>(tokens.size()) == kMaxTokens) continue;
      path.push_back(slot);
      tokens = extended(tokens, 1);
      write(sequences_[i], slot, stamp_of(model_.sequences[i].key, tokens));
    }
    cache_.compact(sequences_[i], base, path);
    const int64_t end = base + static_cast<int64_t>(path.size());
    model_.give_up_beyond(model_.sequences[i], (end + kPageTokens - 1) / kPageTokens);
    commit(i, tokens);
  }

  void fork(int from, int to) {
    if (from == to) return;
    release(to);
    const bool expected = model_.fork(model_.sequences[from], model_.sequences[to]);
    ASSERT_EQ(cache_.fork(sequences_[from], sequences_[to]), expected);
    num_refused_ += !expected;
  }

  void rollback(int i) {
    const int num_tokens = static_cast<int>(model_.sequences[i].tokens.size());
    const int64_t n = below(num_tokens + 40);
    const bool expected = model_.rollback(model_.sequences[i], n);
    ASSERT_EQ(cache_.rollback(sequences_[i], n), expected);
    num_refused_ += !expected;
  }

  void release(int i) {
    cache_.release(sequences_[i]);
    sequences_[i].key = {};
    model_.release(model_.sequences[i]);
  }

  void flush() {
    cache_.flush();
    model_.flush();
  }

  KvCache cache_;
  Model model_;
  KvSequence sequences_[kNumSequences];
  std::mt19937 random_;
  int64_t num_found_ = 0;
  int num_refused_ = 0;
};

void run(PageHashFunction hash, uint32_t seed) {
  Run run(hash, seed);
  for (int step = 0; step < 3000; ++step) {
    run.step();
    ASSERT_NO_FATAL_FAILURE(run.check()) << "seed " << seed << ", step " << step;
  }
  // A walk that never meets a known text or a full cache has shown nothing.
  EXPECT_GT(run.num_found(), 1000);
  EXPECT_GT(run.num_refused(), 50);
}

TEST(KvCacheModel, AgreesWithTheReference) {
  for (uint32_t seed = 1; seed <= 3; ++seed) run(hash_page, seed);
}

TEST(KvCacheModel, AgreesWithTheReferenceWhenHashesCollide) {
  for (uint32_t seed = 11; seed <= 13; ++seed) run(weak_hash, seed);
}

}  // namespace
}  // namespace forerun
