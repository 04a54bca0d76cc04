#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace forerun {

// A drafted token that was verified in vain: at its place the target chose another one, or it was
// drafted behind such a one.
struct RejectedRow {
  int64_t position = 0;  // of the sequence's token that its branch hangs from
  // Its parent stands so many rows before it; 0: it hangs from the sequence itself.
  int32_t parent_distance = 0;
  int32_t depth = 0;  // in its draft, whose first token has depth 1; those that came count
  int32_t token = 0;
};

// The newest rejected rows of one sequence, and what the output matrix is multiplied with behind
// each: what the target makes of the wrong text up to that token. Allocates once.
class RejectedRows final {
 public:
  // Room for at least `most_rows`, which is at least the number of tokens of a draft.
  RejectedRows(int64_t most_rows, int64_t d_model);

  // Rows by age, the oldest first: positions ascend, parents stand before their children.
  int64_t size() const { return end_ - begin_; }
  const RejectedRow& row(int64_t i) const { return rows_[place_of(i)]; }
  const uint16_t* final_state(int64_t i) const;  // bf16 [d_model]

  // A copy. Where there is no room, all that hangs from the oldest position goes.
  void push(const RejectedRow& row, const uint16_t* final_state);

 private:
  size_t place_of(int64_t i) const { return static_cast<size_t>((begin_ + i) % capacity_); }
  void drop_oldest();

  int64_t capacity_;  // rows
  int64_t d_model_;
  int64_t begin_ = 0;  // rows ever pushed before the oldest one, and all of them
  int64_t end_ = 0;
  std::vector<RejectedRow> rows_;
  std::unique_ptr<uint16_t[]> finals_;  // untouched pages cost nothing
};

}  // namespace forerun
