#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "models/descriptor.h"
#include "models/step.h"

namespace forerun {

// A piece of attention work: one key/value head, up to kMaxQueryRows query rows of one group, some
// partitions. Query row j of a group is head j % group_size of the token j / group_size.
struct AttentionUnit {
  int32_t group = 0;
  int32_t kv_head = 0;
  int32_t query_begin = 0;  // first query row of the group
  int32_t num_queries = 0;
  int32_t partition_begin = 0;
  int32_t partition_end = 0;
  // Where this unit's partial results stand, in query rows, or −1: the unit covers all partitions
  // of its rows and writes the result itself. A unit with partial results is one partition, or
  // several from a run's beginning.
  int32_t partial = -1;
};

// Query rows whose partitions were split over units: the partial results to merge, in ascending
// partition order. Units may hold more query rows than these (a tree's rows share the committed
// partitions and differ in the last ones).
struct AttentionMerge {
  int32_t group = 0;
  int32_t kv_head = 0;
  int32_t query_begin = 0;
  int32_t num_queries = 0;
  Range shared_units{0, 0};  // over the committed partitions, then
  Range tail_units{0, 0};    // over the rest
};

// How a step's attention is cut into units and dealt to the team. Only the scheduling: the cut
// never changes a result (kernels/attention.h). Made once per step, used by every layer that sees
// as many positions.
class AttentionPlan final {
 public:
  // `max_rows` rows a step; sizes everything. `window` is the number of positions a row sees, its
  // own included, or 0 for all: partitions before it are left out, and the grid stays where it is.
  // Teams have at most `max_members`.
  AttentionPlan(const ModelDescriptor& model, int64_t window, int max_members, int max_rows);

  void build(std::span<const RowGroup> groups, std::span<const int64_t> positions, int team_size);

  int64_t window() const { return window_; }
  // The first position that a row at `position` sees.
  int64_t first_seen(int64_t position) const {
    return window_ == 0 ? 0 : std::max<int64_t>(0, position - window_ + 1);
  }

  Range units_of(int member) const { return shares_[member]; }
  const AttentionUnit& unit(int64_t index) const { return units_[index]; }
  std::span<const AttentionMerge> merges() const { return merges_; }
  // The first step row of a group.
  int group_row(int group) const { return group_rows_[group]; }
  // Query rows of partial results any plan may use.
  int64_t partial_capacity() const { return partial_capacity_; }

 private:
  struct Tile {
    int32_t group;
    int32_t query_begin;
    int32_t num_queries;
    int32_t partition_begin;  // of what its rows see
    int32_t partition_end;
  };
  void add_chain(int32_t group, const RowGroup& rows);
  void add_tree(int32_t group, const RowGroup& rows, std::span<const int64_t> positions);
  int32_t first_partition(int64_t position) const;
  void add_tile(const Tile& tile);
  Range add_split_units(const Tile& tile, int32_t kv_head);
  bool has_room(int64_t partial_rows) const {
    return partial_used_ + partial_rows <= partial_capacity_;
  }
  // Whether units of whole runs of that many partitions are enough for the team.
  bool runs_suffice(int64_t partitions) const;
  void deal();

  const int64_t window_;
  const int num_kv_heads_;
  const int group_size_;
  const int64_t partial_capacity_;
  int team_size_ = 1;  // of the step
  int64_t partial_used_ = 0;
  int64_t num_tiles_ = 0;  // of all heads
  std::vector<AttentionUnit> units_;
  std::vector<AttentionMerge> merges_;
  std::vector<int> group_rows_;
  std::vector<Range> shares_;
};

}  // namespace forerun
