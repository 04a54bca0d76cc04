// Attention of kernels/attention.h over `Dot`, the pairwise dot product of an instruction set;
// included by one source file per set. `Dot` gives:
//   Operand                                  how queries, keys, values and weights enter a product
//   convert_page(f16, count, operands, ahead)  a page's keys or values; fetches those at `ahead`
//   convert_row(f32, count, operands)          a query
//   store_weights(weights, operands)           16 weights; returns them as the product will see them
//   scores(q, num_rows, head_dim, keys, scores)       one page, scores [row][256] at the page
//   accumulate(p, num_rows, head_dim, values, out)    one page, p [row][kWeightStride] at the page
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/attention.h"
#include "kernels/cpu/f32x16_inl.h"

namespace forerun {
namespace {

constexpr float kNoScore = -std::numeric_limits<float>::infinity();

inline uint16_t finite_f16(float value) {
  constexpr float kLargest = 65504.0f;
  const float above = value > -kLargest ? value : -kLargest;  // NaN becomes −kLargest
  return f32_to_f16(above < kLargest ? above : kLargest);
}

inline void store_key_value(const float* key, const float* value, int64_t head_dim,
                            int64_t position, uint16_t* key_page, uint16_t* value_page) {
  const int64_t slot = position % kPageTokens;
  const int64_t padded = padded_head_dim(head_dim);
  uint16_t* values = value_page + slot / 2 * padded * 2 + slot % 2;
  for (int64_t d = 0; d < head_dim; ++d) {
    key_page[(d / 2 * kPageTokens + slot) * 2 + d % 2] = finite_f16(key[d]);
    values[d * 2] = finite_f16(value[d]);
  }
}

// A row's weights take the place of its scores, which are at least as wide.
template <class Dot>
constexpr int64_t kWeightStride = kPartitionTokens * sizeof(float) / sizeof(typename Dot::Operand);

// Masks positions outside [first, last] and turns scores into weights; the positions of groups
// [group_begin, group_end) of 16. Returns through maximum and sum.
template <class Dot>
void weigh_row(float* scores, int64_t origin, int64_t first, int64_t last, int64_t group_begin,
               int64_t group_end, float* maximum, float* sum) {
  F32x16 best = F32x16::broadcast(kNoScore);
  for (int64_t g = group_begin; g < group_end; ++g) {
    float* group = scores + g * 16;
    const int64_t begin = origin + g * 16;
    if (begin < first || begin + 15 > last) {
      for (int64_t i = 0; i < 16; ++i) {
        if (begin + i < first || begin + i > last) group[i] = kNoScore;
      }
    }
    best = F32x16::max(best, F32x16::load(group));
  }
  *maximum = best.reduce_max();
  F32x16 total = F32x16::zero();
  auto* weights = reinterpret_cast<typename Dot::Operand*>(scores);
  // Finite even for an empty row, so that its weights are 2^(−inf) = 0.
  const F32x16 offset = F32x16::broadcast(std::max(*maximum, std::numeric_limits<float>::lowest()));
  for (int64_t g = group_begin; g < group_end; ++g) {
    const F32x16 weight = exp2(F32x16::load(scores + g * 16) - offset);
    total = total + Dot::store_weights(weight, weights + g * 16);
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

template <class Dot>
void attention_pass(AttentionPass& pass) {
  using Operand = typename Dot::Operand;
  const int64_t padded = padded_head_dim(pass.head_dim);
  auto* scores = reinterpret_cast<float*>(pass.scratch);  // [24][256]
  auto* queries = reinterpret_cast<Operand*>(scores + kMaxQueryRows * kPartitionTokens);
  auto* page_operands = reinterpret_cast<Operand*>(
      reinterpret_cast<float*>(queries) + kMaxQueryRows * padded);

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
  for (int64_t page = page_begin; page < page_end; ++page) {
    Dot::convert_page(pass.key_pages[page], kPageTokens * padded, page_operands,
                      order.after_keys(page));
    Dot::scores(queries, pass.num_rows, padded, page_operands, scores + page * kPageTokens);
  }
  for (int r = 0; r < pass.num_rows; ++r) {
    weigh_row<Dot>(scores + r * kPartitionTokens, begin, pass.first[r], pass.last[r],
                   page_begin * 2, page_end * 2, &pass.maximum[r], &pass.sum[r]);
  }
  const auto* weights = reinterpret_cast<const Operand*>(scores);
  for (int64_t page = page_begin; page < page_end; ++page) {
    Dot::convert_page(pass.value_pages[page], kPageTokens * padded, page_operands,
                      order.after_values(page));
    Dot::accumulate(weights + page * kPageTokens, pass.num_rows, padded, page_operands, pass.out);
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
constexpr AttentionOps kAttentionOps = {store_key_value, attention_pass<Dot>, merge_partition,
                                        finish_attention};

}  // namespace
}  // namespace forerun
