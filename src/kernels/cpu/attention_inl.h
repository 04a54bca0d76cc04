// Attention of kernels/attention.h over `Dot`, the pairwise dot product of an instruction set;
// included by one source file per set. `Dot` gives:
//   Operand                          how queries, keys, values and weights enter a product
//   kStored, store(F32x16, stored)   how keys and values stand in pages
//   convert_row(f32, count, operands)                 a query
//   pages_together(num_rows)                          pages scored at a time
//   scores(q, num_rows, head_dim, pages, num_pages, scratch, scores)    scores [row][256]
//   store_weights(low, high, out, total)              32 weights, as operands; returns total plus
//   them accumulate(p, num_rows, head_dim, page, scratch, out)               p [row][kWeightStride]
// where scores and p begin at the (first) page and scratch holds a page of operands.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/attention.h"
#include "kernels/cpu/f32x16_inl.h"

namespace forerun {
namespace {

constexpr float kNoScore = -std::numeric_limits<float>::infinity();

// 16 values as they are stored.
template <class Dot>
void round_to_stored(const float* values, uint16_t* stored) {
  const F32x16 largest = F32x16::broadcast(65504.0f);
  const F32x16 lowest = F32x16::broadcast(-65504.0f);
  // NaN becomes the lowest.
  Dot::store(F32x16::min(F32x16::max(F32x16::load(values), lowest), largest), stored);
}

template <class Dot>
void store_key_value(const float* key, const float* value, int64_t head_dim, int64_t position,
                     uint16_t* key_page, uint16_t* value_page) {
  const int64_t slot = position % kPageTokens;
  const int64_t padded = padded_head_dim(head_dim);
  uint16_t* keys = key_page + slot * 2;
  uint16_t* values = value_page + slot / 2 * padded * 2 + slot % 2;
  for (int64_t d = 0; d < head_dim; d += 16) {
    float tail[2][16] = {};
    const bool whole = d + 16 <= head_dim;
    if (!whole) {
      std::copy(key + d, key + head_dim, tail[0]);
      std::copy(value + d, value + head_dim, tail[1]);
    }
    uint16_t stored[2][16];
    round_to_stored<Dot>(whole ? key + d : tail[0], stored[0]);
    round_to_stored<Dot>(whole ? value + d : tail[1], stored[1]);
    for (int i = 0; i < 16; i += 2) {
      std::memcpy(keys + (d + i) * kPageTokens, &stored[0][i], 2 * sizeof(uint16_t));
    }
    for (int i = 0; i < 16; ++i) values[(d + i) * 2] = stored[1][i];
  }
}

// A row's weights take the place of its scores, which are at least as wide.
template <class Dot>
constexpr int64_t kWeightStride = kPartitionTokens * sizeof(float) / sizeof(typename Dot::Operand);

inline void cap_scores(float* scores, float cap, int64_t page_begin, int64_t page_end) {
  for (int64_t i = page_begin * kPageTokens; i < page_end * kPageTokens; i += 16) {
    soft_capped(F32x16::load(scores + i), cap).store(scores + i);
  }
}

// Masks positions outside [first, last] and turns scores into weights, over pages
// [page_begin, page_end) of the partition. Returns through maximum and sum.
template <class Dot>
void weigh_row(float* scores, int64_t origin, int64_t first, int64_t last, int64_t page_begin,
               int64_t page_end, float* maximum, float* sum) {
  F32x16 even = F32x16::broadcast(kNoScore);
  F32x16 odd = even;
  for (int64_t i = page_begin * kPageTokens; i < page_end * kPageTokens; i += kPageTokens) {
    const int64_t begin = origin + i;
    if (begin < first || begin + kPageTokens - 1 > last) {
      for (int64_t j = 0; j < kPageTokens; ++j) {
        if (begin + j < first || begin + j > last) scores[i + j] = kNoScore;
      }
    }
    even = F32x16::max(even, F32x16::load(scores + i));
    odd = F32x16::max(odd, F32x16::load(scores + i + 16));
  }
  *maximum = F32x16::max(even, odd).reduce_max();
  F32x16 total = F32x16::zero();
  auto* weights = reinterpret_cast<typename Dot::Operand*>(scores);
  // Finite even for an empty row, so that its weights are 2^(−inf) = 0.
  const F32x16 offset = F32x16::broadcast(std::max(*maximum, std::numeric_limits<float>::lowest()));
  static_assert(kPageTokens == 32);
  for (int64_t i = page_begin * kPageTokens; i < page_end * kPageTokens; i += kPageTokens) {
    const F32x16 low = exp2<Dot::kExpDegree>(F32x16::load(scores + i) - offset);
    const F32x16 high = exp2<Dot::kExpDegree>(F32x16::load(scores + i + 16) - offset);
    total = Dot::store_weights(low, high, weights + i, total);
  }
  *sum = total.reduce_add();
}

// The order in which a pass reads its pages. The memory's own prefetchers start anew on every page
// of 4 KB, so the pass fetches what it will read two pages later.
struct PageOrder {
  static constexpr int64_t kAhead = 2;

  PageOrder(const AttentionPass& the_pass, int64_t page_begin, int64_t page_end)
      : pass(the_pass), begin(page_begin), end(page_end) {}

  const uint16_t* after_keys(int64_t page) const {
    if (page + kAhead < end) return pass.key_pages[page + kAhead];
    return pass.value_pages[std::min(page + kAhead - end + begin, end - 1)];
  }
  const uint16_t* after_values(int64_t page) const {
    return pass.value_pages[std::min(page + kAhead, end - 1)];
  }

  const AttentionPass& pass;
  int64_t begin;
  int64_t end;
};

inline void fetch(const uint16_t* page, int64_t count) {
  for (int64_t i = 0; i < count; i += 32) __builtin_prefetch(page + i);
}

template <class Dot>
void attention_pass(AttentionPass& pass) {
  using Operand = typename Dot::Operand;
  const int64_t padded = padded_head_dim(pass.head_dim);
  auto* scores = reinterpret_cast<float*>(pass.scratch);  // [24][256]
  auto* queries = reinterpret_cast<Operand*>(scores + kMaxQueryRows * kPartitionTokens);
  auto* page_operands =
      reinterpret_cast<Operand*>(reinterpret_cast<float*>(queries) + kMaxQueryRows * padded);

  int64_t first = std::numeric_limits<int64_t>::max();
  int64_t last = -1;
  for (int r = 0; r < pass.num_rows; ++r) {
    first = std::min(first, pass.first[r]);
    last = std::max(last, pass.last[r]);
    for (int64_t d = pass.head_dim; d < padded; ++d) queries[r * padded + d] = Operand{};
    Dot::convert_row(pass.query[r], pass.head_dim, queries + r * padded);
    std::fill_n(pass.out[r], padded, 0.0f);
  }
  const int64_t begin = pass.partition_begin;
  const int64_t page_begin = std::max<int64_t>(0, (first - begin) / kPageTokens);
  // Nothing when every row ends before the partition, whose pages may then be absent.
  const int64_t page_end =
      last < begin ? 0 : std::min<int64_t>(kPagesPerPartition, (last - begin) / kPageTokens + 1);

  const PageOrder order(pass, page_begin, page_end);
  const int64_t together = Dot::pages_together(pass.num_rows);
  for (int64_t page = page_begin; page < page_end; page += together) {
    const int64_t num_pages = std::min(together, page_end - page);
    for (int64_t i = 0; i < num_pages; ++i) fetch(order.after_keys(page + i), kPageTokens * padded);
    Dot::scores(queries, pass.num_rows, padded, pass.key_pages + page, num_pages, page_operands,
                scores + page * kPageTokens);
  }
  for (int r = 0; r < pass.num_rows; ++r) {
    if (pass.soft_cap > 0.0f) {
      cap_scores(scores + r * kPartitionTokens, pass.soft_cap, page_begin, page_end);
    }
    weigh_row<Dot>(scores + r * kPartitionTokens, begin, pass.first[r], pass.last[r], page_begin,
                   page_end, &pass.maximum[r], &pass.sum[r]);
  }
  const auto* weights = reinterpret_cast<const Operand*>(scores);
  for (int64_t page = page_begin; page < page_end; ++page) {
    fetch(order.after_values(page), kPageTokens * padded);
    Dot::accumulate(weights + page * kPageTokens, pass.num_rows, padded, pass.value_pages[page],
                    page_operands, pass.out);
  }
}

inline void merge_partition(AttentionState& state, float* out, float maximum, float sum,
                            const float* partial, int64_t head_dim) {
  if (sum == 0.0f) return;
  const int64_t padded = padded_head_dim(head_dim);
  if (state.sum == 0.0f) {
    state = {maximum, sum};
    std::copy_n(partial, padded, out);
    return;
  }
  const float top = std::max(state.maximum, maximum);
  const F32x16 old_factor = exp2(F32x16::broadcast(state.maximum - top));
  const F32x16 new_factor = exp2(F32x16::broadcast(maximum - top));
  for (int64_t d = 0; d < padded; d += 16) {
    F32x16::fma(F32x16::load(out + d), old_factor, F32x16::load(partial + d) * new_factor)
        .store(out + d);
  }
  float total[16];
  F32x16::fma(F32x16::broadcast(state.sum), old_factor, F32x16::broadcast(sum) * new_factor)
      .store(total);
  state = {top, total[0]};
}

inline void finish_attention(const AttentionState& state, float* out, int64_t head_dim) {
  const F32x16 sum = F32x16::broadcast(state.sum);
  for (int64_t d = 0; d < padded_head_dim(head_dim); d += 16) {
    (F32x16::load(out + d) / sum).store(out + d);
  }
}

template <class Dot>
constexpr AttentionOps kAttentionOps = {Dot::kStored, store_key_value<Dot>, attention_pass<Dot>,
                                        merge_partition, finish_attention};

}  // namespace
}  // namespace forerun
