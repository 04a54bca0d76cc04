#include "branches.h"

#include <algorithm>

namespace forerun {

BranchPlan::BranchPlan(const Batch& batch, int steps)
    : num_examples_(batch.num_examples()), steps_(static_cast<size_t>(steps)) {
  int64_t first_final = 0;
  for (int64_t example = 0; example < num_examples_; ++example) {
    const std::vector<BranchRow>& branches = batch.branches[static_cast<size_t>(example)];
    place(branches, example, first_final);
    first_final += std::ssize(branches);
  }
}

void BranchPlan::place(const std::vector<BranchRow>& branches, int64_t example,
                       int64_t first_final) {
  const int64_t num_steps = std::ssize(steps_);
  struct Placed {
    int64_t step, base, place;
  };
  std::vector<Placed> placed;
  std::vector<int64_t> counts(steps_.size());  // of this example's rows
  for (const BranchRow& row : branches) {
    int64_t followed = row.depth - 1;
    if (followed + 1 >= num_steps || followed > row.slot) followed = 0;
    const bool leaves = row.parent < 0;
    const Placed* parent = leaves ? nullptr : &placed[static_cast<size_t>(row.parent)];
    Placed here = {leaves ? followed + 1 : parent->step + 1,
                   leaves ? row.slot - followed : parent->base, 0};
    if (here.step < num_steps) {
      const auto step = static_cast<size_t>(here.step);
      here.place = counts[step]++;
      const int64_t final_row = first_final + std::ssize(placed);
      steps_[step].rows.push_back(
          {example, final_row, row.token, here.base, leaves ? -1 : parent->place, here.place});
      steps_[step].width = std::max(steps_[step].width, counts[step]);
      ++num_rows_;
    }
    placed.push_back(here);
  }
}

void BranchPlan::widen(std::span<RowRange> bases) const {
  for (const Step& step : steps_) {
    for (const Row& row : step.rows) {
      RowRange& range = bases[static_cast<size_t>(row.example)];
      range = {std::min(range.first, row.base), std::max(range.end, row.base + 1)};
    }
  }
}

std::vector<BranchRows> BranchPlan::rows(const Batch& batch, const at::Tensor& embedding,
                                         at::ScalarType type, int64_t first_base) const {
  const int64_t num_bases = batch.num_slots() - first_base;
  std::vector<BranchRows> out;
  for (const Step& step : steps_) {
    BranchRows& made = out.emplace_back();
    if (step.rows.empty()) continue;
    // Zeros are what the shorter ones are filled up with: rows that may be computed, and are of no
    // use.
    const at::Tensor tokens = at::zeros({num_examples_, step.width}, at::kLong);
    made.bases = at::full_like(tokens, first_base);
    made.parents = at::zeros_like(tokens);
    auto token_at = tokens.accessor<int64_t, 2>();
    auto base_at = made.bases.accessor<int64_t, 2>();
    auto parent_at = made.parents.accessor<int64_t, 2>();
    for (const Row& row : step.rows) {
      token_at[row.example][row.place] = row.token;
      base_at[row.example][row.place] = row.base;
      parent_at[row.example][row.place] =
          row.parent < 0 ? row.base - first_base : num_bases + row.parent;
    }
    made.embeddings = at::embedding(embedding, tokens).to(type);
  }
  return out;
}

at::Tensor BranchPlan::outputs_of(size_t step) const {
  std::vector<int64_t> indices;
  for (const Row& row : steps_[step].rows) {
    indices.push_back(row.example * steps_[step].width + row.place);
  }
  return at::tensor(indices, at::kLong);
}

at::Tensor BranchPlan::finals_of(size_t step) const {
  std::vector<int64_t> indices;
  for (const Row& row : steps_[step].rows) indices.push_back(row.final_row);
  return at::tensor(indices, at::kLong);
}

}  // namespace forerun
