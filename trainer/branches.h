#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "aten.h"
#include "batch.h"
#include "unroll.h"

namespace forerun {

// Where the rows of a batch's branches come in an unroll. A head that drafts from slot `base` and
// leaves the text `followed` tokens later reads the branch's first token in step followed + 1, in
// the next step the one behind it, and so on; what it says there is of the token behind.
//
// A branch is taken as the draft that it was in. Where that began before the slots that there are,
// or so early that the unroll ends before the branch begins (drafts come from texts of before, too,
// and those are long), it is taken as a draft that left the text at once. Rows that come behind the
// last step are left out.
class BranchPlan final {
 public:
  BranchPlan() = default;
  BranchPlan(const Batch& batch, int steps);

  int64_t num_rows() const { return num_rows_; }
  // Widens the ranges of each example's bases so that they hold those that its rows are drafted
  // from.
  void widen(std::span<RowRange> bases) const;

  // What unroll() takes, for bases from `first_base` on.
  std::vector<BranchRows> rows(const Batch& batch, const at::Tensor& embedding, at::ScalarType type,
                               int64_t first_base) const;

  // A step's rows, as int64 [rows]: of its outputs [batch · rows, …], and of the batch's
  // branch_finals.
  bool any(size_t step) const { return step < steps_.size() && !steps_[step].rows.empty(); }
  at::Tensor outputs_of(size_t step) const;
  at::Tensor finals_of(size_t step) const;

 private:
  struct Row {
    int64_t example;
    int64_t final_row;  // of branch_finals
    int64_t token;
    int64_t base;
    int64_t parent;  // in the step before, among its example's; −1: the base
    int64_t place;   // in its step, among its example's
  };
  struct Step {
    std::vector<Row> rows;
    int64_t width = 0;  // the most rows of one example
  };
  void place(const std::vector<BranchRow>& branches, int64_t example, int64_t first_final);

  int64_t num_examples_ = 0;
  int64_t num_rows_ = 0;
  std::vector<Step> steps_;
};

}  // namespace forerun
