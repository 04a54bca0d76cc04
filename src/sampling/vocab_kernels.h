#pragma once

#include <cstdint>
#include <limits>

#include "kernels/isa.h"
#include "sampling/noise.h"

namespace forerun {

// The passes over a vocabulary that sampling is made of, one table per ISA, all with the same
// results bit for bit. In every one of them
//   logits  [num_tokens]  f32, any alignment; a token's score is logit * scale (one rounding)
//   order   descending score, then ascending id: "the first tokens" are first in this order
//   mass    of a token: exp(score - max_score) rounded to a multiple of 2^-40, counted in 2^-40;
//           integers, so that a sum is exact in any order
// Work goes by blocks of 256 tokens anchored at id 0. A block has 16 cells; cell c holds the
// tokens c, c + 16, c + 32 ... of its block. The highest logit of every cell, kept by scan(), lets
// the other passes step over blocks that hold nothing for them.

constexpr int kVocabBlock = 256;
constexpr int kCellsPerBlock = 16;
constexpr double kMassOne = 0x1p40;  // the mass of the token with the highest score

constexpr int num_cells(int num_tokens) {
  return (num_tokens + kVocabBlock - 1) / kVocabBlock * kCellsPerBlock;
}

// Logits as the passes see them.
struct ScoreView {
  const float* logits;    // [num_tokens]
  const float* cell_max;  // [num_cells(num_tokens)] by scan(); null: every block is looked at
  int num_tokens;
  float scale;
};

struct ScanResult {
  float max_logit;   // -infinity when no token is allowed
  int32_t token_id;  // lowest id with max_logit; -1 when there is none
  bool finite;       // false: some logit, allowed or not, is NaN or +infinity; the rest is void
};

// The first tokens of the order: those with a score above `score`, and those with this very score
// up to `last_id`, `num_ties` of them.
struct Cut {
  float score = -std::numeric_limits<float>::infinity();
  int32_t last_id = std::numeric_limits<int32_t>::max();
  int64_t num_ties = 0;

  bool keeps(float token_score, int32_t token_id) const {
    return token_score > score || (token_score == score && token_id <= last_id);
  }
};

// A token and what makes it the best one: greater `value`, then lower id.
struct Candidate {
  float value;
  int32_t token_id;
};

// The score at which a prefix of the order ends, and how many tokens of this score belong to it.
struct PrefixEnd {
  float score;
  int64_t num_ties;
};

struct VocabKernels {
  // Highest logit of tokens [begin, end), begin a multiple of kVocabBlock; writes the cells of its
  // blocks. `allowed` (null: all are): bit t of word t / 32, lowest first, says token t may be
  // chosen; the logits, -infinity for those that may not, go to `masked` [end], which may be
  // `logits`.
  ScanResult (*scan)(const float* logits, const uint32_t* allowed, float* masked, int begin,
                     int end, float* cell_max);

  // argmax over the tokens of [begin, end) that `cut` keeps of score + gumbel_noise(key, id).
  // `start` is a kept token, best the one with the highest score: it sets the bar below which no
  // noise needs to be drawn.
  Candidate (*best_with_noise)(const ScoreView& view, const NoiseKey& key, const Cut& cut,
                               int begin, int end, int32_t start);

  // Mass of all tokens with a score above `above`.
  uint64_t (*mass)(const ScoreView& view, float max_score, float above);

  // Scores of all tokens with score >= lowest, which is finite. Returns how many; `scores` has room
  // for num_tokens + 16.
  int (*gather)(const ScoreView& view, float lowest, float* scores);

  // The first tokens up to `cut` in ascending id; there must not be more than `capacity`.
  int (*collect)(const ScoreView& view, const Cut& cut, Candidate* tokens, int capacity);

  // Id of the token that has exactly `rank` tokens of this score before it.
  int32_t (*find_tie)(const ScoreView& view, float score, int64_t rank);

  // The shortest prefix of `scores` [count] (finite, in any order, overwritten, room for
  // count + 16) with `needed` tokens, or with a mass of `needed`; 0 < needed <= that of all.
  PrefixEnd (*prefix_by_count)(float* scores, int count, uint64_t needed);
  PrefixEnd (*prefix_by_mass)(float* scores, int count, float max_score, uint64_t needed);
};

const VocabKernels& vocab_kernels(Isa isa);

// The tables behind it.
extern const VocabKernels generic_vocab_kernels;
extern const VocabKernels avx2_vocab_kernels;
extern const VocabKernels avx512_vocab_kernels;

}  // namespace forerun
