#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "aten.h"

namespace forerun {

struct RowRange {
  int64_t first;
  int64_t end;
};

// The rows of tensors [batch, rows, …] that are worth computing: a range of each example's, none
// of them empty. What is padding, or of prompts nobody predicts in, lies outside.
class NeededRows final {
 public:
  NeededRows() = default;
  NeededRows(std::span<const RowRange> ranges, int64_t num_rows);
  // All of them.
  static NeededRows all(int64_t batch, int64_t num_rows);

  int64_t size() const { return places_.size(0); }
  // Of each example, in their order.
  const std::vector<int64_t>& counts() const { return counts_; }

  // Each one's row number in its example, and the example's number; int64 [needed].
  const at::Tensor& rows() const { return rows_; }
  const at::Tensor& examples() const { return examples_; }

  // [needed, …] of [batch, rows, …].
  at::Tensor pack(const at::Tensor& all) const;
  // And back, with zeros in between.
  at::Tensor spread(const at::Tensor& needed) const;

 private:
  int64_t num_rows_ = 0;
  std::vector<int64_t> counts_;
  at::Tensor rows_, examples_, places_;
};

}  // namespace forerun
