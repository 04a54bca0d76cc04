#include "spec/history_index.h"

#include <algorithm>
#include <bit>

namespace forerun {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
// Positions of a chain looked at: some belong to other contexts with the same hash.
constexpr int kMaxSteps = 32;
constexpr int kMaxMatch = 64;

uint64_t mixed(uint64_t value) {
  value *= 0x9e3779b97f4a7c15;
  return value ^ (value >> 32);
}

// The eighth power of the share that a match is of the longest: on rollouts of 100 problems, with
// 48 candidates, powers of 2, 4, 8 and 16 drafted 7.28, 7.43, 7.47 and 7.48 tokens a round in the
// eighth epoch.
float weight_of(uint32_t length, int longest) {
  float weight = static_cast<float>(length) / static_cast<float>(longest);
  for (int i = 0; i < 3; ++i) weight *= weight;
  return weight;
}

// Of a context of `order` tokens, the newest first.
template <typename Tokens>
uint32_t context_hash(HistoryScope scope, int order, const Tokens& newest_first) {
  uint64_t hash = mixed(scope + static_cast<uint64_t>(order));
  for (int i = 0; i < order; ++i) hash = mixed(hash ^ newest_first(i));
  return static_cast<uint32_t>(hash >> 16);
}

}  // namespace

HistoryIndex::HistoryIndex(int64_t capacity_tokens, uint32_t first_position)
    : next_chunk_(std::max(first_position / kChunkTokens, 1u) * kChunkTokens) {
  const auto wanted = std::clamp<int64_t>(capacity_tokens, 4096, int64_t{1} << 30);
  const uint64_t capacity = std::bit_ceil(static_cast<uint64_t>(wanted));
  mask_ = static_cast<uint32_t>(capacity - 1);
  tokens_ = std::vector<Cell>(capacity);
  // Long contexts are nearly all different; of single tokens there are few.
  constexpr std::array<uint64_t, kOrders.size()> kTokensPerBucket = {1, 2, 4};
  for (size_t i = 0; i < kOrders.size(); ++i) {
    earlier_[i] = std::vector<Cell>(capacity);
    newest_[i] = std::vector<Cell>(capacity / kTokensPerBucket[i]);
  }
  chunks_ = std::vector<Chunk>(capacity / kChunkTokens);
}

int64_t HistoryIndex::memory_bytes() const {
  size_t cells = tokens_.size();
  for (size_t i = 0; i < kOrders.size(); ++i) cells += earlier_[i].size() + newest_[i].size();
  return static_cast<int64_t>(cells * sizeof(Cell) + chunks_.size() * sizeof(Chunk));
}

int64_t HistoryIndex::taken_tokens() const {
  return std::min(capacity_tokens(), num_taken_.load(kRelaxed) * kChunkTokens);
}

bool HistoryIndex::holds(uint32_t position) const {
  const uint32_t age = next_chunk_.load(kRelaxed) - position;
  return position != 0 && age <= mask_ + 1;
}

uint32_t HistoryIndex::before(uint32_t position) const {
  if (position % kChunkTokens != 0) return position - 1;
  const uint32_t first = chunk(position).before.load(kRelaxed);
  return holds(first) ? first + kChunkTokens - 1 : 0;
}

uint32_t HistoryIndex::after(uint32_t position) const {
  const Chunk& own = chunk(position);
  if (position % kChunkTokens + 1 < own.used.load(std::memory_order_acquire)) return position + 1;
  if (position % kChunkTokens + 1 < kChunkTokens) return 0;
  const uint32_t first = own.after.load(std::memory_order_acquire);
  return holds(first) && chunk(first).used.load(std::memory_order_acquire) > 0 ? first : 0;
}

HistoryIndex::Sequence HistoryIndex::open(HistoryScope scope, uint32_t epoch) const {
  Sequence sequence;
  sequence.scope_ = scope;
  sequence.epoch_ = epoch;
  return sequence;
}

uint32_t HistoryIndex::take_chunk() {
  const uint32_t first = next_chunk_.load(kRelaxed);
  uint32_t next = first + kChunkTokens;
  if (next == 0) next = kChunkTokens;  // position 0 is none
  next_chunk_.store(next, kRelaxed);
  num_taken_.store(num_taken_.load(kRelaxed) + 1, kRelaxed);
  return first;
}

// Where the sequence's next token goes.
uint32_t HistoryIndex::next_position(Sequence& sequence) {
  const uint32_t last = sequence.position_;
  const bool goes_on = holds(last);
  if (goes_on && (last + 1) % kChunkTokens != 0) return last + 1;
  const uint32_t first = take_chunk();
  Chunk& taken = chunk(first);
  taken.used.store(0, kRelaxed);
  taken.after.store(0, kRelaxed);
  taken.scope.store(sequence.scope_, kRelaxed);
  taken.epoch.store(sequence.epoch_, kRelaxed);
  const bool still_there = goes_on && holds(last);
  taken.before.store(still_there ? last + 1 - kChunkTokens : 0, kRelaxed);
  if (still_there) chunk(last).after.store(first, std::memory_order_release);
  return first;
}

void HistoryIndex::append(Sequence& sequence, uint32_t token) {
  const uint32_t position = next_position(sequence);
  const uint32_t slot = position & mask_;
  tokens_[slot].store(token, kRelaxed);
  std::shift_right(sequence.last_tokens_.begin(), sequence.last_tokens_.end(), 1);
  sequence.last_tokens_[0] = token;
  sequence.position_ = position;
  ++sequence.length_;
  chunk(position).used.store(position % kChunkTokens + 1, std::memory_order_release);
  for (size_t i = 0; i < kOrders.size(); ++i) {
    if (sequence.length_ < kOrders[i]) continue;
    const uint32_t hash = context_hash(sequence.scope_, kOrders[i],
                                       [&](int back) { return sequence.last_tokens_[back]; });
    Cell& newest = newest_[i][hash % newest_[i].size()];
    earlier_[i][slot].store(newest.load(kRelaxed), kRelaxed);
    newest.store(position, std::memory_order_release);
  }
}

void HistoryIndex::append(Sequence& sequence, std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) append(sequence, static_cast<uint32_t>(token));
}

int HistoryIndex::count_matches(uint32_t position, std::span<const int32_t> context) const {
  const auto most = static_cast<int>(std::min<size_t>(context.size(), kMaxMatch));
  int count = 0;
  while (count < most && position != 0 && token(position) == context[context.size() - 1 - count]) {
    ++count;
    position = before(position);
  }
  return count;
}

// Candidates whose last kOrders[order] tokens match, and no longer context that has been looked
// for: those are there already.
void HistoryIndex::find(HistoryScope scope, const HistoryQuery& query, int order,
                        Candidates& found) const {
  const int least = kOrders[order];
  const int most = order == 0 ? kMaxMatch : kOrders[order - 1] - 1;
  const std::span<const int32_t> context = query.context;
  if (static_cast<int>(context.size()) < least) return;
  const uint32_t hash = context_hash(scope, least, [&](int back) {
    return static_cast<uint32_t>(context[context.size() - 1 - back]);
  });
  const std::vector<Cell>& newest = newest_[order];
  uint32_t position = newest[hash % newest.size()].load(std::memory_order_acquire);
  for (int step = 0; step < kMaxSteps && found.count < kMaxCandidates; ++step) {
    // What stands in place of a position that is forgotten belongs to another chain.
    if (!holds(position)) return;
    const uint32_t candidate = position;
    position = earlier_[order][position & mask_].load(kRelaxed);
    const Chunk& its = chunk(candidate);
    if (its.scope.load(kRelaxed) != scope || its.epoch.load(kRelaxed) < query.first_epoch) continue;
    const int length = count_matches(candidate, context);
    if (length < least || length > most) continue;
    const uint32_t next = after(candidate);
    if (next != 0) found.places[found.count++] = {next, static_cast<uint32_t>(length), 0.0f};
  }
}

void HistoryIndex::propose(const HistoryQuery& query, HistoryDraft& draft) const {
  Candidates candidates;
  for (int order = 0; order < static_cast<int>(kOrders.size()); ++order) {
    for (const HistoryScope scope : query.scopes) find(scope, query, order, candidates);
  }
  draft.tokens.clear();
  draft.shares.clear();
  draft.second_tokens.clear();
  draft.second_shares.clear();
  draft.match = 0;
  for (const Candidate& one : candidates.all()) {
    draft.match = std::max(draft.match, static_cast<int>(one.length));
  }
  for (Candidate& one : candidates.all()) one.weight = weight_of(one.length, draft.match);
  const auto by_match = static_cast<int>(query.tokens_per_match * static_cast<float>(draft.match));
  const int most = std::min(query.max_tokens, by_match);
  float probability = 1.0f;
  while (candidates.count > 0 && static_cast<int>(draft.tokens.size()) < most) {
    const Vote vote = next_token(candidates);
    probability *= vote.share;
    if (probability < query.min_probability) return;
    draft.tokens.push_back(vote.token);
    draft.shares.push_back(vote.share);
    draft.second_tokens.push_back(vote.second_token);
    draft.second_shares.push_back(vote.second_share);
    follow(vote.token, candidates);
  }
}

// The token that most of the candidates' weight stands behind; of equals the newest candidate's.
HistoryIndex::Vote HistoryIndex::next_token(const Candidates& candidates) const {
  struct Choice {
    int32_t token;
    float weight;
  };
  std::array<Choice, kMaxCandidates> choices;
  size_t num_choices = 0;
  float total = 0.0f;
  for (const Candidate& one : candidates.all()) {
    const int32_t its = token(one.position);
    const auto end = choices.begin() + static_cast<int64_t>(num_choices);
    const auto same = std::find_if(choices.begin(), end,
                                   [&](const Choice& choice) { return choice.token == its; });
    if (same == end) choices[num_choices++] = {its, 0.0f};
    same->weight += one.weight;
    total += one.weight;
  }
  Choice best = {-1, 0.0f};
  Choice second = {-1, 0.0f};
  for (size_t i = 0; i < num_choices; ++i) {
    if (choices[i].weight > best.weight) {
      second = best;
      best = choices[i];
    } else if (choices[i].weight > second.weight) {
      second = choices[i];
    }
  }
  return {best.token, best.weight / total, second.token, second.weight / total};
}

// Leaves those candidates that go on with `token`, one further on.
void HistoryIndex::follow(int32_t token, Candidates& candidates) const {
  size_t left = 0;
  for (const Candidate& one : candidates.all()) {
    if (this->token(one.position) != token) continue;
    const uint32_t next = after(one.position);
    if (next != 0) candidates.places[left++] = {next, one.length, one.weight};
  }
  candidates.count = left;
}

}  // namespace forerun
