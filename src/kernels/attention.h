#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace forerun {

// How keys and values are stored.
enum class KvType : uint8_t { kF16, kBF16, kInt8 };
constexpr KvType kKvTypes[] = {KvType::kF16, KvType::kBF16, KvType::kInt8};

// "f16", "bf16", "int8".
std::string_view kv_type_name(KvType type);
// An Error lists the names.
Result<KvType> parse_kv_type(std::string_view name);

// Keys and values live in pages of 32 positions. One head of one page, head_dim rounded up to a
// multiple of 16 (the added elements are zero, or multiplied by zero):
//   F16, BF16
//     keys    [head_dim / 2][32 positions][2]       pairs of dimensions side by side
//     values  [16 position pairs][head_dim][2]      pairs of positions side by side
//   int8, symmetric, each position with scales of its own: element = scale · integer in −127 … 127
//     keys    [head_dim / 4][32 positions][4]       integer plus 128, unsigned;  f32 scale[32]
//     values  [8 position quads][head_dim][4]       signed;                      f32 scale[32]
// so that one vector of dot products serves 16 keys, or 16 dimensions.
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
constexpr int kPagesFetchedAhead = 2;
// Query rows (tokens × grouped heads) that share one pass over the keys.
constexpr int kMaxQueryRows = 24;

constexpr int64_t padded_head_dim(int64_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}
constexpr int64_t element_bytes(KvType type) {
  return type == KvType::kInt8 ? 1 : 2;
}
// Dimensions, or positions, side by side in the four bytes that a lane of a dot product reads.
constexpr int64_t elements_per_cell(KvType type) {
  return 4 / element_bytes(type);
}
// Where a position's scale stands behind the elements, in bytes; int8 only.
constexpr int64_t scales_offset(int64_t head_dim) {
  return kPageTokens * padded_head_dim(head_dim);
}
// Bytes of one head of one page, keys or values; a multiple of 64.
constexpr int64_t page_head_bytes(KvType type, int64_t head_dim) {
  const int64_t elements = kPageTokens * padded_head_dim(head_dim);
  return elements * element_bytes(type) + (type == KvType::kInt8 ? 4 * kPageTokens : 0);
}
// Bytes of one head's key, or value, that a step reads: the padding is not told.
constexpr int64_t token_head_bytes(KvType type, int64_t head_dim) {
  return head_dim * element_bytes(type) + (type == KvType::kInt8 ? 4 : 0);
}

// One head's key and value at `position` of the page that holds it, rounded to what is stored;
// values beyond f16's range are clipped to it and NaN becomes a number, so that no stored key can
// poison another row (the row it came from carries the NaN to its own logits).
using StoreKeyValueFunction = void (*)(const float* key, const float* value, int64_t head_dim,
                                       int64_t position, uint8_t* key_page, uint8_t* value_page);

// One partition of one key/value head for up to 24 query rows:
//   score[r][p] = (q[r] · key[p]) for first[r] <= p <= last[r], q scaled by log2(e)/sqrt(head_dim),
//                 then soft-capped where the pass says so
//   maximum[r]  = max over p;  weight = 2^(score − maximum)
//   sum[r]      = Σ weight;    out[r] = Σ weight · value[p]
// A row with no key in the partition gets maximum −inf, sum 0 and an out that is not to be read.
//
// Order: scores accumulate over cells of dimensions ascending; sums over 16 lanes by position,
// groups ascending, then a fixed tree; outputs over cells of positions ascending. Positions outside
// a row's range have weight 0, and adding them changes nothing, so a row's bits do not depend on
// the other rows of the pass. Which arithmetic:
//   f32 (F16 everywhere, the others where there are no dot products for them): what is stored,
//     widened; an int8 key's scale multiplies its score
//   bf16 dot products (BF16): q and weights are rounded to bf16, the rounded weights summed, over
//     16 lanes by pairs of positions
//   integer dot products (int8 with VNNI): q, and the weights times the values' scales, become
//     integers of two digits of 8 bits, with a scale for the row and partition; sums are exact, so
//     their order does not matter
struct AttentionPass {
  int num_rows = 0;
  int64_t head_dim = 0;
  float soft_cap = 0.0f;  // scores become cap · tanh(score / cap); times log2(e), like the scores
  int64_t partition_begin = 0;        // absolute position, a multiple of 256
  const float* query[kMaxQueryRows];  // [head_dim] each, scaled
  int64_t first[kMaxQueryRows];       // absolute positions, inclusive
  int64_t last[kMaxQueryRows];
  const uint8_t* key_pages[kPagesPerPartition];  // this head's part; absent pages are not read
  const uint8_t* value_pages[kPagesPerPartition];
  // The first key pages of this thread's next pass, or null: fetched towards the end of this one. A
  // hint; nothing there is read.
  const uint8_t* next_pages[kPagesFetchedAhead] = {};
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
void copy_page_slot(KvType type, const uint8_t* from_keys, const uint8_t* from_values,
                    int64_t from_slot, uint8_t* to_keys, uint8_t* to_values, int64_t to_slot,
                    int64_t head_dim);
// Copies slots [0, num_slots) of one head to another pair of pages.
void copy_page_slots(KvType type, const uint8_t* from_keys, const uint8_t* from_values,
                     uint8_t* to_keys, uint8_t* to_values, int64_t num_slots, int64_t head_dim);

// The attention of one instruction set over one type of keys and values.
struct AttentionOps {
  KvType stored;
  StoreKeyValueFunction store_key_value;
  AttentionPassFunction pass;
  MergePartitionFunction merge;
  FinishAttentionFunction finish;
};

}  // namespace forerun
