#include "needed_rows.h"

namespace forerun {

NeededRows::NeededRows(std::span<const RowRange> ranges, int64_t num_rows) : num_rows_(num_rows) {
  std::vector<at::Tensor> rows, examples;
  for (const RowRange& range : ranges) {
    examples.push_back(at::full({range.end - range.first}, std::ssize(rows), at::kLong));
    rows.push_back(at::arange(range.first, range.end, at::kLong));
    counts_.push_back(range.end - range.first);
  }
  rows_ = at::cat(rows);
  examples_ = at::cat(examples);
  places_ = examples_ * num_rows + rows_;
}

NeededRows NeededRows::all(int64_t batch, int64_t num_rows) {
  return {std::vector(static_cast<size_t>(batch), RowRange{0, num_rows}), num_rows};
}

at::Tensor NeededRows::pack(const at::Tensor& all) const {
  return all.flatten(0, 1).index_select(0, places_);
}

at::Tensor NeededRows::spread(const at::Tensor& needed) const {
  const int64_t batch = std::ssize(counts_);
  std::vector<int64_t> shape = needed.sizes().vec();
  shape[0] = batch * num_rows_;
  const at::Tensor all = at::zeros(shape, needed.options()).index_copy(0, places_, needed);
  shape[0] = num_rows_;
  shape.insert(shape.begin(), batch);
  return all.view(shape);
}

}  // namespace forerun
