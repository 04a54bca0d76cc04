#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace forerun {

// Keys and values live in pages of 32 positions. One head of one page, in 16 bits (AttentionOps::
// stored), head_dim rounded up to a multiple of 16 (the added elements stay zero):
//   keys    [head_dim / 2][32 positions][2]       pairs of dimensions side by side
//   values  [16 position pairs][head_dim][2]      pairs of positions side by side
// so that one vector of dot-product pairs serves 16 keys, or 16 dimensions.
constexpr int kPageTokens = 32;
constexpr int64_t pages_for(int64_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}
// Scores are exponentiated and summed per partition; the partitions of a run are merged in
// ascending order, then the runs. All grids are anchored at position 0, so where work is cut never
// shows; a run is a piece of work that leaves one partial result instead of four.
constexpr int kPartitionTokens = 256;
constexpr int kRunPartitions = 4;
constexpr int kPagesPerPartition = kPartitionTokens / kPageTokens;
// Query rows (tokens × grouped heads) that share one pass over the keys.
constexpr int kMaxQueryRows = 24;

constexpr int64_t padded_head_dim(int64_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}
// Elements of one head of one page, keys or values.
constexpr int64_t page_head_elements(int64_t head_dim) {
  return kPageTokens * padded_head_dim(head_dim);
}

// One head's key and value at `position` of the page that holds it, rounded to what is stored;
// values beyond f16's range are clipped to it and NaN becomes a number, so that no stored key can
// poison another row (the row it came from carries the NaN to its own logits).
using StoreKeyValueFunction = void (*)(const float* key, const float* value, int64_t head_dim,
                                       int64_t position, uint16_t* key_page, uint16_t* value_page);

// One partition of one key/value head for up to 24 query rows:
//   score[r][p] = (q[r] · key[p]) for first[r] <= p <= last[r], q scaled by log2(e)/sqrt(head_dim),
//                 then soft-capped where the pass says so
//   maximum[r]  = max over p;  weight = 2^(score − maximum)
//   sum[r]      = Σ weight;    out[r] = Σ weight · value[p]
// A row with no key in the partition gets maximum −inf, sum 0 and an out that is not to be read.
//
// Order: scores accumulate over dimension pairs ascending; sums over 16 lanes by position, groups
// ascending, then a fixed tree; outputs over position pairs ascending. Positions outside a row's
// range have weight 0, and adding them changes nothing, so a row's bits do not depend on the other
// rows of the pass. The bf16 form rounds q, keys, values and weights to bf16 first and sums the
// rounded weights, over 16 lanes by pairs of positions.
struct AttentionPass {
  int num_rows = 0;
  int64_t head_dim = 0;
  float soft_cap = 0.0f;  // scores become cap · tanh(score / cap); times log2(e), like the scores
  int64_t partition_begin = 0;        // absolute position, a multiple of 256
  const float* query[kMaxQueryRows];  // [head_dim] each, scaled
  int64_t first[kMaxQueryRows];       // absolute positions, inclusive
  int64_t last[kMaxQueryRows];
  const uint16_t* key_pages[kPagesPerPartition];  // this head's part; absent pages are not read
  const uint16_t* value_pages[kPagesPerPartition];
  float maximum[kMaxQueryRows];  // results
  float sum[kMaxQueryRows];
  float* out[kMaxQueryRows];   // [padded head_dim] each
  uint8_t* scratch = nullptr;  // attention_scratch_bytes(head_dim), 64-aligned
};

constexpr int64_t attention_scratch_bytes(int64_t head_dim) {
  const int64_t padded = padded_head_dim(head_dim);
  return 4 * (kMaxQueryRows * padded + kPageTokens * padded + kMaxQueryRows * kPartitionTokens);
}

using AttentionPassFunction = void (*)(AttentionPass&);

// The running result of a query row over ascending partitions.
struct AttentionState {
  float maximum;
  float sum;
};

// (state, out) ← (state, out) merged with a later partition's (maximum, sum, partial). A state with
// sum 0 is empty. An empty partition leaves it as it is.
using MergePartitionFunction = void (*)(AttentionState& state, float* out, float maximum, float sum,
                                        const float* partial, int64_t head_dim);

// out[i] /= sum.
using FinishAttentionFunction = void (*)(const AttentionState& state, float* out, int64_t head_dim);

// Copies one position of one head, from one pair of pages to another.
void copy_page_slot(const uint16_t* from_keys, const uint16_t* from_values, int64_t from_slot,
                    uint16_t* to_keys, uint16_t* to_values, int64_t to_slot, int64_t head_dim);

struct AttentionOps {
  DType stored;  // of keys and values: kBF16 where the dot products are, as reading then rounds
                 // nothing, else kF16
  StoreKeyValueFunction store_key_value;
  AttentionPassFunction pass;
  MergePartitionFunction merge;
  FinishAttentionFunction finish;
};

}  // namespace forerun
