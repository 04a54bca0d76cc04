// Attention of kernels/attention.h over `Dot`, the dot product of an instruction set over one type
// of keys and values; included by one source file per set. `Dot` gives:
//   kStored                          the type
//   Operand                          how queries, keys, values and weights enter a product
//   convert_row(f32, count, operands)                 a query
//   pages_together(num_rows)                          pages scored at a time
//   scores(q, num_rows, head_dim, pages, num_pages, ahead, scratch, scores)    scores [row][256]
//   store_weights(low, high, out, total)              32 weights, as operands; returns total plus
//                                                     them
//   accumulate(p, num_rows, head_dim, page, ahead, scratch, out)        p [row][kWeightStride]
// where scores and p begin at the (first) page, scratch holds a page of operands, and `ahead` is
// what to fetch for each page that is read.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/attention.h"
#include "kernels/cpu/f32x16_inl.h"

namespace forerun {
namespace {

constexpr float kNoScore = -std::numeric_limits<float>::infinity();

// 16 values within what F16 holds; NaN becomes the lowest.
inline F32x16 clipped(const float* values) {
  const F32x16 largest = F32x16::broadcast(65504.0f);
  const F32x16 lowest = F32x16::broadcast(-65504.0f);
  return F32x16::min(F32x16::max(F32x16::load(values), lowest), largest);
}

// visit(d, 16 values) over a key or value, zeros behind its end.
template <typename Visit>
void visit_vectors(const float* row, int64_t head_dim, Visit visit) {
  int64_t d = 0;
  for (; d + 16 <= head_dim; d += 16) visit(d, clipped(row + d));
  if (d == head_dim) return;
  float tail[16] = {};
  std::copy(row + d, row + head_dim, tail);
  visit(d, clipped(tail));
}

template <KvType type>
using StoredElement = std::conditional_t<type == KvType::kInt8, int8_t, uint16_t>;

inline float largest_of(const float* row, int64_t head_dim) {
  F32x16 most = F32x16::zero();
  visit_vectors(row, head_dim, [&](int64_t, F32x16 v) { most = F32x16::max(most, v.abs()); });
  return most.reduce_max();
}

// A position's key or value as it is stored: put(d, 16 elements) for all of it. Returns the scale
// (of int8). One that stays below 2^-120 counts as zero: the quotient would overflow.
template <KvType type, typename Put>
float store_row(const float* row, int64_t head_dim, Put put) {
  const float largest = type == KvType::kInt8 ? largest_of(row, head_dim) : 0.0f;
  const bool is_zero = largest < 0x1p-120f;
  const F32x16 inverse = F32x16::broadcast(is_zero ? 0.0f : 127.0f / largest);
  const F32x16 limit = F32x16::broadcast(127.0f);
  visit_vectors(row, head_dim, [&](int64_t d, F32x16 values) {
    StoredElement<type> stored[16];
    if constexpr (type == KvType::kF16) values.store_f16(stored);
    if constexpr (type == KvType::kBF16) values.store_bf16(stored);
    if constexpr (type == KvType::kInt8) {
      const F32x16 scaled = F32x16::max(values * inverse, F32x16::zero() - limit);
      F32x16::min(scaled, limit).store_i8(stored);
    }
    put(d, stored);
  });
  return is_zero ? 0.0f : largest / 127.0f;
}

template <KvType type>
void store_key_value(const float* key, const float* value, int64_t head_dim, int64_t position,
                     uint8_t* key_page, uint8_t* value_page) {
  using Element = StoredElement<type>;
  constexpr int64_t kCell = elements_per_cell(type);
  const int64_t slot = position % kPageTokens;
  const int64_t padded = padded_head_dim(head_dim);
  const float key_scale = store_row<type>(key, head_dim, [&](int64_t d, const Element* stored) {
    for (int64_t i = 0; i < 16; i += kCell) {
      uint32_t cell;
      std::memcpy(&cell, stored + i, sizeof(cell));
      if constexpr (type == KvType::kInt8) cell ^= 0x80808080;  // plus 128, unsigned
      std::memcpy(key_page + ((d + i) / kCell * kPageTokens + slot) * 4, &cell, sizeof(cell));
    }
  });
  auto* values = reinterpret_cast<Element*>(value_page) + slot / kCell * padded * kCell;
  const float value_scale = store_row<type>(value, head_dim, [&](int64_t d, const Element* stored) {
    for (int64_t i = 0; i < 16; ++i) values[(d + i) * kCell + slot % kCell] = stored[i];
  });
  if constexpr (type == KvType::kInt8) {
    reinterpret_cast<float*>(key_page + scales_offset(head_dim))[slot] = key_scale;
    reinterpret_cast<float*>(value_page + scales_offset(head_dim))[slot] = value_scale;
  }
}

// A row's weights take the place of its scores, which are at least as wide.
template <class Dot>
constexpr int64_t kWeightStride = kPartitionTokens * sizeof(float) / sizeof(typename Dot::Operand);

inline void cap_scores(float* scores, float cap, const Range& pages) {
  for (int64_t i = pages.begin * kPageTokens; i < pages.end * kPageTokens; i += 16) {
    soft_capped(F32x16::load(scores + i), cap).store(scores + i);
  }
}

// Masks positions outside [first, last] of pages [page_begin, page_end) of the partition and
// returns the largest score left.
inline float mask_row(float* scores, int64_t origin, int64_t first, int64_t last,
                      int64_t page_begin, int64_t page_end) {
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
  return F32x16::max(even, odd).reduce_max();
}

// What scores are taken off before they are exponentiated: finite even for an empty row, so that
// its weights are 2^(−inf) = 0.
inline F32x16 weight_offset(float maximum) {
  return F32x16::broadcast(std::max(maximum, std::numeric_limits<float>::lowest()));
}

// Turns a row's scores into weights, as operands. Returns their sum.
template <class Dot>
float weigh_row(float* scores, float maximum, int64_t page_begin, int64_t page_end) {
  F32x16 total = F32x16::zero();
  auto* weights = reinterpret_cast<typename Dot::Operand*>(scores);
  const F32x16 offset = weight_offset(maximum);
  static_assert(kPageTokens == 32);
  for (int64_t i = page_begin * kPageTokens; i < page_end * kPageTokens; i += kPageTokens) {
    const F32x16 low = exp2<Dot::kExpDegree>(F32x16::load(scores + i) - offset);
    const F32x16 high = exp2<Dot::kExpDegree>(F32x16::load(scores + i + 16) - offset);
    total = Dot::store_weights(low, high, weights + i, total);
  }
  return total.reduce_add();
}

// The order in which a pass reads its pages. The memory's own prefetchers start anew on every page
// of 4 KB, so the pass fetches what will be read two pages later, line by line as it computes: a
// page's 64 fetches at once are more than a core keeps under way, and it would wait.
struct PageOrder {
  static constexpr int64_t kAhead = kPagesFetchedAhead;

  PageOrder(const AttentionPass& the_pass, int64_t page_begin, int64_t page_end)
      : pass(the_pass), begin(page_begin), end(page_end) {}

  const uint8_t* after_keys(int64_t page) const {
    if (page + kAhead < end) return pass.key_pages[page + kAhead];
    return pass.value_pages[std::min(page + kAhead - end + begin, end - 1)];
  }
  const uint8_t* after_values(int64_t page) const {
    if (page + kAhead < end) return pass.value_pages[page + kAhead];
    const uint8_t* next = pass.next_pages[page + kAhead - end];
    return next != nullptr ? next : pass.value_pages[page];
  }

  const AttentionPass& pass;
  int64_t begin;
  int64_t end;
};

inline void fetch(const uint8_t* page, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(page + i);
}

// The pages of a partition that some row of the pass reads.
inline Range pages_read(const AttentionPass& pass) {
  int64_t first = std::numeric_limits<int64_t>::max();
  int64_t last = -1;
  for (int r = 0; r < pass.num_rows; ++r) {
    first = std::min(first, pass.first[r]);
    last = std::max(last, pass.last[r]);
  }
  const int64_t begin = pass.partition_begin;
  // Nothing when every row ends before the partition, whose pages may then be absent.
  if (last < begin) return {0, 0};
  return {std::max<int64_t>(0, (first - begin) / kPageTokens),
          std::min<int64_t>(kPagesPerPartition, (last - begin) / kPageTokens + 1)};
}

// Makes a row's scores over the pages what its weights come from. Returns the largest.
inline float cap_and_mask(const AttentionPass& pass, int r, const Range& pages, float* scores) {
  if (pass.soft_cap > 0.0f) cap_scores(scores, pass.soft_cap, pages);
  return mask_row(scores, pass.partition_begin, pass.first[r], pass.last[r], pages.begin,
                  pages.end);
}

template <class Dot>
void attention_pass(AttentionPass& pass) {
  using Operand = typename Dot::Operand;
  const int64_t padded = padded_head_dim(pass.head_dim);
  auto* scores = reinterpret_cast<float*>(pass.scratch);  // [24][256]
  auto* queries = reinterpret_cast<Operand*>(scores + kMaxQueryRows * kPartitionTokens);
  auto* page_operands =
      reinterpret_cast<Operand*>(reinterpret_cast<float*>(queries) + kMaxQueryRows * padded);
  for (int r = 0; r < pass.num_rows; ++r) {
    for (int64_t d = pass.head_dim; d < padded; ++d) queries[r * padded + d] = Operand{};
    Dot::convert_row(pass.query[r], pass.head_dim, queries + r * padded);
    std::fill_n(pass.out[r], padded, 0.0f);
  }
  const Range pages = pages_read(pass);
  const PageOrder order(pass, pages.begin, pages.end);
  const int64_t together = Dot::pages_together(pass.num_rows);
  for (int64_t page = pages.begin; page < pages.end; page += together) {
    const int64_t num_pages = std::min(together, pages.end - page);
    const uint8_t* ahead[2];
    for (int64_t i = 0; i < num_pages; ++i) ahead[i] = order.after_keys(page + i);
    Dot::scores(queries, pass.num_rows, padded, pass.key_pages + page, num_pages, ahead,
                page_operands, scores + page * kPageTokens);
  }
  for (int r = 0; r < pass.num_rows; ++r) {
    float* row = scores + r * kPartitionTokens;
    pass.maximum[r] = cap_and_mask(pass, r, pages, row);
    pass.sum[r] = weigh_row<Dot>(row, pass.maximum[r], pages.begin, pages.end);
  }
  const auto* weights = reinterpret_cast<const Operand*>(scores);
  for (int64_t page = pages.begin; page < pages.end; ++page) {
    Dot::accumulate(weights + page * kPageTokens, pass.num_rows, padded, pass.value_pages[page],
                    order.after_values(page), page_operands, pass.out);
  }
}

// take<kRows>(first) for rows [0, num_rows), as many of the largest sizes as fit.
template <int kSize, int... kSmaller, typename Take>
void take_rows(int num_rows, Take take, int first = 0) {
  for (; first + kSize <= num_rows; first += kSize) take.template operator()<kSize>(first);
  if constexpr (sizeof...(kSmaller) > 0) take_rows<kSmaller...>(num_rows, take, first);
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
constexpr AttentionOps kAttentionOps = {Dot::kStored, store_key_value<Dot::kStored>,
                                        attention_pass<Dot>, merge_partition, finish_attention};

}  // namespace
}  // namespace forerun
