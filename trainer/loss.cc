#include "loss.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "branches.h"

namespace forerun {
namespace {

// A response token of the draft vocabulary. Step i of the unroll predicts it at slot − 1 − i.
struct Wanted {
  int64_t example;
  int64_t slot;  // that reads it
  int64_t draft_id;
};

// Counts the response tokens for each step and returns those of the draft vocabulary.
std::vector<Wanted> find_wanted(const Batch& batch, const DraftVocabulary& vocabulary,
                                std::vector<StepTally>& steps) {
  std::vector<Wanted> wanted;
  const auto tokens = batch.tokens.accessor<int64_t, 2>();
  for (int64_t example = 0; example < batch.num_examples(); ++example) {
    const auto [first, end] = batch.responses[static_cast<size_t>(example)];
    for (int64_t slot = first; slot < end; ++slot) {
      for (int64_t i = 0; i < std::min(slot, std::ssize(steps)); ++i) ++steps[i].predictions;
      const int64_t draft_id = vocabulary.draft_id(tokens[example][slot]);
      if (draft_id >= 0) wanted.push_back({example, slot, draft_id});
    }
  }
  return wanted;
}

// What of `wanted` a number is made of, as an index tensor.
template <typename Number>
at::Tensor indices(std::span<const Wanted> wanted, Number number) {
  std::vector<int64_t> values;
  for (const Wanted& one : wanted) values.push_back(number(one));
  return at::tensor(values, at::kLong);
}

// The distributions that `wanted` were sampled from.
at::Tensor target_log_probs(const Batch& batch, std::span<const Wanted> wanted,
                            const at::Tensor& output, at::ScalarType type) {
  const at::Tensor rows = indices(
      wanted, [&](const Wanted& one) { return one.example * batch.num_slots() + one.slot; });
  const at::Tensor finals = batch.finals.flatten(0, 1).index_select(0, rows);
  return at::log_softmax(product(finals, output, type), -1);
}

// Of the token behind every slot, and behind the batch's end of as many as later steps read.
at::Tensor embed(const Batch& batch, const at::Tensor& embedding, int steps, at::ScalarType type) {
  const at::Tensor tokens = at::constant_pad_nd(batch.tokens, {0, steps - 1});
  return at::embedding(embedding, tokens).to(type);
}

// The bases that the wanted tokens are predicted from, of each example.
std::vector<RowRange> needed_bases(const Batch& batch, std::span<const Wanted> wanted, int steps) {
  std::vector<RowRange> bases(static_cast<size_t>(batch.num_examples()),
                              {.first = batch.num_slots(), .end = 0});
  for (const Wanted& one : wanted) {
    RowRange& range = bases[static_cast<size_t>(one.example)];
    range.first = std::min(range.first, std::max<int64_t>(one.slot - steps, 0));
    range.end = std::max(range.end, one.slot);
  }
  return bases;
}

// The first of them all. An example that needs none gets that one: there are no empty ranges.
int64_t first_needed(std::vector<RowRange>& bases) {
  const int64_t first = std::ranges::min(bases, {}, &RowRange::first).first;
  for (RowRange& range : bases) {
    if (range.end <= range.first) range = {first, first + 1};
  }
  return first;
}

// Adds what the head says behind tokens that were drafted in vain. Of the branch's first token
// nothing needs to be said: that the target chose another one there, it learns from the
// distribution of its parent, which is the sequence's own. What it would draft behind that token is
// what nothing else teaches: a head that drafts trees, or goes on where it is wrong, is asked that.
void add_branches(const Head& head, const TargetMatrices& target, const Batch& batch,
                  const BranchPlan& plan, const std::vector<StepOutputs>& outputs,
                  const LossOptions& options, BatchLoss& out) {
  const double counted = static_cast<double>(out.counted());
  double weight = options.discard / counted;
  double sum = 0.0;
  for (size_t i = 0; i < outputs.size(); ++i, weight *= options.decay) {
    if (!plan.any(i)) continue;
    const at::Tensor finals = batch.branch_finals.index_select(0, plan.finals_of(i));
    const at::Tensor log_probs =
        at::log_softmax(product(finals, target.output, head.norm.scalar_type()), -1);
    const at::Tensor logits =
        head_logits(head, outputs[i].branches.flatten(0, 1).index_select(0, plan.outputs_of(i)));
    const at::Tensor loss = row_losses(options.kind, log_probs, logits).sum();
    out.loss = out.loss + weight * loss;
    sum += loss.item<double>();
  }
  out.branches = {plan.num_rows(), sum / static_cast<double>(plan.num_rows())};
}

// Multiplications of the matrix products, the forward and the two backward ones. States have no
// gradient, and the target's logits need none.
double multiplications(const Head& head, std::span<const RowRange> needed,
                       const std::vector<StepTally>& steps) {
  const auto size = [](const at::Tensor& matrix) { return static_cast<double>(matrix.numel()); };
  const auto num_steps = static_cast<double>(steps.size());
  const auto examples = static_cast<double>(needed.size());
  double slots = 0.0;
  double bases = 0.0;
  for (const RowRange& range : needed) {
    slots += static_cast<double>(range.end);
    bases += static_cast<double>(range.end - range.first);
  }
  const double kv = size(head.k) + size(head.v);
  const double tokens = (slots + examples * (num_steps - 1)) * (size(head.q) + kv) / 2;
  const double states =
      num_steps * bases * size(head.q) / 2 + (slots + (num_steps - 1) * bases) * kv / 2;
  const double rest =
      num_steps * bases * (size(head.o) + size(head.gate) + size(head.up) + size(head.down));
  double rows = 0.0;
  for (const StepTally& step : steps) rows += static_cast<double>(step.counted);
  const double logits = rows * size(head.lm_head) * (head.lm_head.requires_grad() ? 3 : 2);
  const double target = static_cast<double>(steps.front().counted) * size(head.lm_head);
  return 2 * slots * size(head.fc) + 3 * (tokens + states + rest) + logits + target;
}

// The same of branches' rows.
double multiplications(const Head& head, const BranchPlan& plan) {
  double layer = 0.0;
  for (const at::Tensor& matrix : {head.q, head.k, head.v, head.o, head.gate, head.up, head.down}) {
    layer += static_cast<double>(matrix.numel());
  }
  const double logits = static_cast<double>(head.lm_head.numel());
  return static_cast<double>(plan.num_rows()) *
         (3 * layer + logits * (head.lm_head.requires_grad() ? 4 : 3));
}

}  // namespace

TargetRows::TargetRows(at::Tensor of_log_probs)
    : log_probs(std::move(of_log_probs)),
      probs(log_probs.exp()),
      sums((probs * log_probs).sum(-1)) {}

TargetRows TargetRows::first(int64_t count) const {
  TargetRows out;
  out.log_probs = log_probs.narrow(0, 0, count);
  out.probs = probs.narrow(0, 0, count);
  out.sums = sums.narrow(0, 0, count);
  return out;
}

at::Tensor row_losses(LossKind kind, const TargetRows& target, const at::Tensor& logits) {
  const at::Tensor head_log_probs = at::log_softmax(logits, -1);
  switch (kind) {
    case LossKind::kKl:
      return target.sums - (target.probs * head_log_probs).sum(-1);
    case LossKind::kReverseKl:
      return (head_log_probs.exp() * (head_log_probs - target.log_probs)).sum(-1);
    case LossKind::kAcceptance:
      break;
  }
  return -at::minimum(target.log_probs, head_log_probs).exp().sum(-1).log();
}

BatchLoss batch_loss(const Head& parameters, const TargetMatrices& target,
                     const DraftVocabulary& vocabulary, const Batch& batch,
                     const LossOptions& options) {
  BatchLoss out;
  out.steps.resize(static_cast<size_t>(options.steps));
  std::vector<Wanted> wanted = find_wanted(batch, vocabulary, out.steps);
  if (wanted.empty()) return out;
  // Those that every step predicts come first.
  std::ranges::stable_sort(wanted, std::ranges::greater(), &Wanted::slot);
  const BranchPlan branches =
      options.discard > 0.0 ? BranchPlan(batch, options.steps) : BranchPlan();
  std::vector<RowRange> needed = needed_bases(batch, wanted, options.steps);
  branches.widen(needed);
  const int64_t first_base = first_needed(needed);
  const int64_t num_bases = batch.num_slots() - first_base;
  const at::ScalarType type = parameters.norm.scalar_type();
  const Head head = options.bf16_products ? with_matrices(parameters, at::kBFloat16) : parameters;
  const std::vector<StepOutputs> outputs =
      unroll(head, embed(batch, target.embedding, options.steps, type), batch.states, first_base,
             options.steps, branches.rows(batch, target.embedding, type, first_base), needed);
  const TargetRows target_rows(target_log_probs(batch, wanted, target.output, type));
  const at::Tensor draft_ids = indices(wanted, [](const Wanted& one) { return one.draft_id; });
  out.loss = at::zeros({}, head.norm.options().requires_grad(false));
  double weight = 1.0;
  for (int i = 0; i < options.steps; ++i, weight *= options.decay) {
    while (!wanted.empty() && wanted.back().slot <= i) wanted.pop_back();
    const int64_t count = std::ssize(wanted);
    if (count == 0) break;
    const at::Tensor rows = indices(wanted, [&](const Wanted& one) {
      return one.example * num_bases + one.slot - 1 - i - first_base;
    });
    const at::Tensor logits = head_logits(
        head, outputs[static_cast<size_t>(i)].bases.flatten(0, 1).index_select(0, rows));
    const at::Tensor loss = row_losses(options.kind, target_rows.first(count), logits).mean();
    out.loss = out.loss + weight * loss;
    StepTally& tally = out.steps[static_cast<size_t>(i)];
    tally.counted = count;
    tally.loss = loss.item<double>();
    tally.hits = logits.argmax(-1).eq(draft_ids.narrow(0, 0, count)).sum().item<int64_t>();
  }
  out.sequence_loss = out.loss.item<double>();
  out.flops = 2 * multiplications(head, needed, out.steps);
  if (branches.num_rows() > 0) {
    add_branches(head, target, batch, branches, outputs, options, out);
    out.flops += 2 * multiplications(head, branches);
  }
  return out;
}

}  // namespace forerun
