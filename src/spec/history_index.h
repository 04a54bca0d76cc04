#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

namespace forerun {

// Which texts may help which: a number made of whatever they share (a request, a problem of an RL
// run, an API key).
using HistoryScope = uint64_t;

struct HistoryQuery {
  std::span<const HistoryScope> scopes;  // all are looked through
  uint32_t first_epoch = 0;              // sequences of earlier ones are left out
  std::span<const int32_t> context;  // what the draft is to go on from, its last tokens at least
  int max_tokens = 24;               // of the draft
  float tokens_per_match = 2.0f;     // nor more than so many for each token of the longest match
  float min_probability = 0.1f;      // the draft ends before the product of its shares is less
};

struct HistoryDraft {
  std::vector<int32_t> tokens;
  std::vector<float> shares;  // of the vote that each token won, 0 … 1
  // What came second in each vote, −1 where nothing did, and its share.
  std::vector<int32_t> second_tokens;
  std::vector<float> second_shares;
  int match = 0;  // context tokens that the best candidate has before it
};

// Finds where a text has been before, to draft what came next there. Sequences are kept in chunks
// of 64 tokens, taken from a ring: the oldest are forgotten, and nothing has to be deleted. Every
// position is chained to the one before it that ends in the same 4, 2 and 1 tokens of the same
// scope. A look-up follows the chain of the longest of these contexts, extends each candidate
// backwards, and lets them vote, token by token, weighted by their match's length.
// 24 bytes a token. One thread writes; any may read meanwhile, and at worst drafts from a text that
// is just being forgotten. Source: docs/architecture.md.
class HistoryIndex final {
 public:
  // Rounded up to a power of two, from 4,096 to 2^30. Positions are counted modulo 2^32; tests
  // begin shortly before they start over.
  explicit HistoryIndex(int64_t capacity_tokens, uint32_t first_position = 0);

  // A sequence that is being written.
  class Sequence {
    friend class HistoryIndex;
    HistoryScope scope_ = 0;
    uint32_t epoch_ = 0;
    uint32_t position_ = 0;                // of the last token; 0: none yet
    int64_t length_ = 0;                   // tokens
    std::array<uint32_t, 4> last_tokens_;  // the newest first
  };
  Sequence open(HistoryScope scope, uint32_t epoch) const;
  void append(Sequence& sequence, std::span<const int32_t> tokens);

  // `draft` keeps its memory from call to call.
  void propose(const HistoryQuery& query, HistoryDraft& draft) const;

  // Calls visit(scope, epoch, tokens) for every sequence that is remembered, as far as it is, the
  // one begun first first. Not while one is being written.
  template <typename Visit>
  void visit_sequences(Visit visit) const {
    std::vector<int32_t> tokens;
    const auto held =
        static_cast<uint32_t>(std::min<int64_t>(num_taken_, mask_ / kChunkTokens + 1));
    for (uint32_t i = held; i > 0; --i) {
      const uint32_t first = next_chunk_ - i * kChunkTokens;
      if (!holds(first) || holds(chunk(first).before) || chunk(first).used == 0) continue;
      tokens.clear();
      for (uint32_t position = first; position != 0; position = after(position)) {
        tokens.push_back(token(position));
      }
      visit(HistoryScope{chunk(first).scope}, uint32_t{chunk(first).epoch},
            std::span<const int32_t>(tokens));
    }
  }

  int64_t capacity_tokens() const { return int64_t{mask_} + 1; }
  // Of these, in chunks that are in use, whole or in part.
  int64_t taken_tokens() const;
  int64_t memory_bytes() const;

 private:
  // Positions count tokens, modulo 2^32; what a position holds stands at its remainder by the
  // capacity. 0 is none.
  using Cell = std::atomic<uint32_t>;

  struct Chunk {
    std::atomic<uint64_t> scope;
    Cell epoch;
    Cell before;  // first position of the chunk that goes before it in its sequence, or 0
    Cell after;   // and of the next
    Cell used;    // tokens
  };
  struct Candidate {
    uint32_t position;
    uint32_t length;  // tokens that match
    float weight;
  };
  static constexpr size_t kMaxCandidates = 16;
  struct Candidates {
    std::array<Candidate, kMaxCandidates> places;
    size_t count = 0;

    std::span<Candidate> all() { return {places.data(), count}; }
    std::span<const Candidate> all() const { return {places.data(), count}; }
  };
  struct Vote {
    int32_t token;
    float share;
    int32_t second_token;  // −1: nothing came second
    float second_share;
  };

  Chunk& chunk(uint32_t position) { return chunks_[(position & mask_) / kChunkTokens]; }
  const Chunk& chunk(uint32_t position) const { return chunks_[(position & mask_) / kChunkTokens]; }
  int32_t token(uint32_t position) const {
    return static_cast<int32_t>(tokens_[position & mask_].load(std::memory_order_relaxed));
  }
  // Whether it has not been forgotten.
  bool holds(uint32_t position) const;
  uint32_t before(uint32_t position) const;  // 0: nothing is
  uint32_t after(uint32_t position) const;   // 0: nothing yet

  uint32_t next_position(Sequence& sequence);
  uint32_t take_chunk();
  void append(Sequence& sequence, uint32_t token);
  int count_matches(uint32_t position, std::span<const int32_t> context) const;
  void find(HistoryScope scope, const HistoryQuery& query, int order, Candidates& found) const;
  Vote next_token(const Candidates& candidates) const;
  void follow(int32_t token, Candidates& candidates) const;

  static constexpr uint32_t kChunkTokens = 64;
  static constexpr std::array<int, 3> kOrders = {4, 2, 1};  // lengths of the contexts

  uint32_t mask_;
  std::vector<Cell> tokens_;
  std::array<std::vector<Cell>, kOrders.size()> earlier_;  // the position before in the same chain
  std::array<std::vector<Cell>, kOrders.size()> newest_;   // of a context's hash
  std::vector<Chunk> chunks_;
  Cell next_chunk_;                     // the position that the next chunk taken begins at
  std::atomic<int64_t> num_taken_ = 0;  // chunks, forgotten ones included
};

}  // namespace forerun
