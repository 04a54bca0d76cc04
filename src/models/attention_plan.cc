#include "models/attention_plan.h"

#include <algorithm>

#include "kernels/attention.h"

namespace forerun {
namespace {

// Partial results kept for merging, in query rows: 64 single rows of 12 heads at 8,192 keys.
constexpr int64_t kPartialCapacity = 24576;
// Fewer units than this per member and one long row would leave the others waiting.
constexpr int kUnitsPerMember = 4;

// Work of a unit in arbitrary units: reading the keys and values of a partition costs about as much
// as scoring them for four rows.
int64_t unit_cost(const AttentionUnit& unit) {
  return static_cast<int64_t>(unit.partition_end - unit.partition_begin) * (4 + unit.num_queries);
}

// Partitions up to the one that holds `position`.
int32_t partitions_to(int64_t position) {
  return static_cast<int32_t>(position / kPartitionTokens + 1);
}

// Query rows per tile: whole tokens where they fit.
int tile_rows(int group_size) {
  return group_size <= kMaxQueryRows ? kMaxQueryRows / group_size * group_size : kMaxQueryRows;
}

}  // namespace

AttentionPlan::AttentionPlan(const ModelDescriptor& model, int64_t window, int max_members,
                             int max_rows)
    : window_(window),
      num_kv_heads_(model.num_kv_heads),
      group_size_(model.group_size()),
      partial_capacity_(kPartialCapacity),
      shares_(max_members) {
  const int64_t most_tiles =
      int64_t{max_rows} * num_kv_heads_ * ((group_size_ + kMaxQueryRows - 1) / kMaxQueryRows);
  // Every unsplit tile is one unit (a tree's tile may be one token); every split unit takes at
  // least one partial row, and every merge has at least one unit.
  units_.reserve(most_tiles + partial_capacity_);
  merges_.reserve(most_tiles);
  group_rows_.reserve(max_rows + 1);
}

void AttentionPlan::build(std::span<const RowGroup> groups, std::span<const int64_t> positions,
                          int team_size) {
  team_size_ = team_size;
  units_.clear();
  merges_.clear();
  group_rows_.clear();
  partial_used_ = 0;
  num_tiles_ = 0;
  int row = 0;
  for (const RowGroup& group : groups) {
    group_rows_.push_back(row);
    row += group.num_rows;
    num_tiles_ += (int64_t{group.num_rows} * group_size_ + tile_rows(group_size_) - 1) /
                  tile_rows(group_size_) * num_kv_heads_;
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto group = static_cast<int32_t>(g);
    if (groups[g].parents == nullptr) {
      add_chain(group, groups[g]);
    } else {
      add_tree(group, groups[g], positions.subspan(group_rows_[g], groups[g].num_rows));
    }
  }
  deal();
}

int32_t AttentionPlan::first_partition(int64_t position) const {
  return static_cast<int32_t>(first_seen(position) / kPartitionTokens);
}

void AttentionPlan::add_chain(int32_t group, const RowGroup& rows) {
  const int num_queries = rows.num_rows * group_size_;
  for (int begin = 0; begin < num_queries; begin += tile_rows(group_size_)) {
    const int count = std::min(tile_rows(group_size_), num_queries - begin);
    const int first_token = begin / group_size_;
    const int last_token = (begin + count - 1) / group_size_;
    add_tile({group, begin, count, first_partition(rows.first_slot + first_token),
              partitions_to(rows.first_slot + last_token)});
  }
}

// The rows of a tree share the partitions that hold committed keys only; each token has the rest to
// itself, since siblings see different keys at the same position.
void AttentionPlan::add_tree(int32_t group, const RowGroup& rows,
                             std::span<const int64_t> positions) {
  const auto committed = static_cast<int32_t>(rows.first_slot / kPartitionTokens);
  const int num_queries = rows.num_rows * group_size_;
  const int token_rows = std::min(group_size_, kMaxQueryRows);
  // A tree's first row is a root, which no other stands before.
  const int32_t earliest = first_partition(rows.first_slot);
  const int64_t deepest = *std::max_element(positions.begin(), positions.end());
  const bool split =
      has_room(int64_t{partitions_to(deepest) - earliest} * num_queries * num_kv_heads_);
  for (int head = 0; head < num_kv_heads_; ++head) {
    Range shared{0, 0};
    for (int begin = 0; begin < num_queries; begin += token_rows) {
      const int token = begin / group_size_;
      const int count = std::min(token_rows, (token + 1) * group_size_ - begin);
      const int32_t first = first_partition(positions[token]);
      const int32_t end = partitions_to(positions[token]);
      if (!split) {
        units_.push_back({group, head, begin, count, first, end, -1});
        continue;
      }
      if (begin % tile_rows(group_size_) == 0) {
        const int tile_count = std::min(tile_rows(group_size_), num_queries - begin);
        shared = add_split_units({group, begin, tile_count, earliest, committed}, head);
      }
      const Range tail =
          add_split_units({group, begin, count, std::max(first, committed), end}, head);
      merges_.push_back({group, head, begin, count, shared, tail});
    }
  }
}

void AttentionPlan::add_tile(const Tile& tile) {
  const int64_t partitions = tile.partition_end - tile.partition_begin;
  const int64_t partial_rows = partitions * tile.num_queries * num_kv_heads_;
  const bool split = num_tiles_ < int64_t{kUnitsPerMember} * team_size_ && partitions > 1 &&
                     has_room(partial_rows);
  for (int head = 0; head < num_kv_heads_; ++head) {
    if (split) {
      merges_.push_back({tile.group,
                         head,
                         tile.query_begin,
                         tile.num_queries,
                         add_split_units(tile, head),
                         {0, 0}});
    } else {
      units_.push_back({tile.group, head, tile.query_begin, tile.num_queries, tile.partition_begin,
                        tile.partition_end, -1});
    }
  }
}

bool AttentionPlan::runs_suffice(int64_t partitions) const {
  return num_tiles_ * (partitions / kRunPartitions) >= int64_t{kUnitsPerMember} * team_size_;
}

Range AttentionPlan::add_split_units(const Tile& tile, int32_t kv_head) {
  const auto first = static_cast<int64_t>(units_.size());
  const bool by_runs = runs_suffice(tile.partition_end - tile.partition_begin);
  for (int32_t p = tile.partition_begin; p < tile.partition_end;) {
    const bool whole_run = by_runs && p % kRunPartitions == 0;
    const int32_t end = whole_run ? std::min(p + kRunPartitions, tile.partition_end) : p + 1;
    units_.push_back({tile.group, kv_head, tile.query_begin, tile.num_queries, p, end,
                      static_cast<int32_t>(partial_used_)});
    partial_used_ += tile.num_queries;
    p = end;
  }
  return {first, static_cast<int64_t>(units_.size())};
}

void AttentionPlan::deal() {
  int64_t total = 0;
  for (const AttentionUnit& unit : units_) total += unit_cost(unit);
  int64_t next = 0;
  int64_t dealt = 0;
  for (int member = 0; member < team_size_; ++member) {
    const int64_t begin = next;
    const int64_t target = total * (member + 1) / team_size_;
    // A unit goes to the member whose share holds its middle.
    while (next < static_cast<int64_t>(units_.size()) &&
           dealt + unit_cost(units_[next]) / 2 < target) {
      dealt += unit_cost(units_[next]);
      ++next;
    }
    if (member == team_size_ - 1) next = static_cast<int64_t>(units_.size());
    shares_[member] = {begin, next};
  }
}

}  // namespace forerun
