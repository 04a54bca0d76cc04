#include "batch.h"

#include <algorithm>

namespace forerun {
namespace {

// [rows, width] of bf16 from row `first` on.
at::Tensor copy_rows(std::span<const uint16_t> values, int64_t first, int64_t rows, int64_t width) {
  const auto part = values.subspan(static_cast<size_t>(first * width));
  auto* data = const_cast<uint16_t*>(part.data());  // only read
  return at::from_blob(data, {rows, width}, at::kBFloat16).clone();
}

at::Tensor copy_tokens(std::span<const int32_t> tokens) {
  auto* data = const_cast<int32_t*>(tokens.data());  // only read
  return at::from_blob(data, {std::ssize(tokens)}, at::kInt).to(at::kLong);
}

// [examples, longest, …], zero behind each one's end.
at::Tensor side_by_side(std::span<const Example> examples, at::Tensor Example::* part) {
  std::vector<at::Tensor> parts;
  for (const Example& example : examples) parts.push_back(example.*part);
  return at::pad_sequence(parts, /*batch_first=*/true);
}

// Those that hang from a slot's token; slot 0 is at position `first`. Positions ascend, so that
// they are neighbours, and parents are of the same position.
void copy_branches(const TraceRecord& record, int64_t first, Example& example) {
  const auto slot_of = [&](const TraceBranchRow& row) { return row.position - 1 - first; };
  const auto row_at = [&](int64_t slot) {
    return std::ranges::lower_bound(record.branches, slot, {}, slot_of) - record.branches.begin();
  };
  const int64_t begin = row_at(0);
  const int64_t count = row_at(example.tokens.size(0)) - begin;
  if (count == 0) return;
  for (const TraceBranchRow& row :
       record.branches.subspan(static_cast<size_t>(begin), static_cast<size_t>(count))) {
    const int64_t parent = row.parent < 0 ? -1 : row.parent - begin;
    example.branches.push_back({slot_of(row), parent, row.depth, row.token});
  }
  example.branch_finals = copy_rows(record.branch_finals, begin, count, record.header.d_model);
}

}  // namespace

int64_t Example::bytes() const {
  size_t bytes = tokens.nbytes() + states.nbytes() + finals.nbytes();
  if (branch_finals.defined()) bytes += branch_finals.nbytes();
  return static_cast<int64_t>(bytes + branches.size() * sizeof(BranchRow));
}

std::optional<Example> make_example(const TraceRecord& record, int64_t max_slots,
                                    bool with_branches) {
  const TraceHeader& header = record.header;
  const int64_t end = std::min(header.first_state + header.num_states, header.num_tokens - 1);
  const int64_t first = std::max(header.first_state, end - max_slots);
  const int64_t slots = end - first;
  // Slot 0's token is predicted by no slot.
  const int64_t first_response = std::max<int64_t>(header.prompt_tokens - 1 - first, 1);
  if (first_response >= slots) return std::nullopt;
  Example example;
  example.tokens = copy_tokens(
      record.tokens.subspan(static_cast<size_t>(first + 1), static_cast<size_t>(slots)));
  const int64_t row = first - header.first_state;
  example.states = copy_rows(record.states, row, slots, 3 * header.d_model);
  example.finals = copy_rows(record.finals, row, slots, header.d_model);
  example.first_response = first_response;
  if (with_branches && !record.branches.empty()) copy_branches(record, first, example);
  return example;
}

Batch make_batch(std::span<const Example> examples) {
  Batch batch;
  batch.tokens = side_by_side(examples, &Example::tokens);
  batch.states = side_by_side(examples, &Example::states);
  batch.finals = side_by_side(examples, &Example::finals);
  std::vector<at::Tensor> branch_finals;
  for (const Example& example : examples) {
    batch.responses.push_back({example.first_response, example.tokens.size(0)});
    batch.branches.push_back(example.branches);
    if (example.branch_finals.defined()) branch_finals.push_back(example.branch_finals);
  }
  if (!branch_finals.empty()) batch.branch_finals = at::cat(branch_finals);
  return batch;
}

}  // namespace forerun
