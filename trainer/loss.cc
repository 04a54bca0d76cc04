#include "loss.h"

#include <algorithm>
#include <cmath>

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
                            const at::Tensor& output) {
  const at::Tensor rows = indices(
      wanted, [&](const Wanted& one) { return one.example * batch.num_slots() + one.slot; });
  const at::Tensor finals = batch.finals.flatten(0, 1).index_select(0, rows);
  return at::log_softmax(at::linear(finals.to(output.scalar_type()), output), -1);
}

// Of the token behind every slot, and behind the batch's end of as many as later steps read.
at::Tensor embed(const Batch& batch, const at::Tensor& embedding, int steps, at::ScalarType type) {
  const at::Tensor tokens = at::constant_pad_nd(batch.tokens, {0, steps - 1});
  return at::embedding(embedding, tokens).to(type);
}

// Multiplications of the matrix products, the forward and the two backward ones. States have no
// gradient, and the target's logits need none.
double multiplications(const Head& head, const Batch& batch, int64_t num_bases,
                       const std::vector<StepTally>& steps) {
  const auto size = [](const at::Tensor& matrix) { return static_cast<double>(matrix.numel()); };
  const auto num_steps = static_cast<double>(steps.size());
  const auto examples = static_cast<double>(batch.num_examples());
  const double slots = examples * static_cast<double>(batch.num_slots());
  const double bases = examples * static_cast<double>(num_bases);
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

}  // namespace

at::Tensor row_losses(LossKind kind, const at::Tensor& target_log_probs, const at::Tensor& logits) {
  const at::Tensor head_log_probs = at::log_softmax(logits, -1);
  switch (kind) {
    case LossKind::kKl:
      return (target_log_probs.exp() * (target_log_probs - head_log_probs)).sum(-1);
    case LossKind::kReverseKl:
      return (head_log_probs.exp() * (head_log_probs - target_log_probs)).sum(-1);
    case LossKind::kAcceptance:
      break;
  }
  return -at::minimum(target_log_probs, head_log_probs).exp().sum(-1).log();
}

BatchLoss batch_loss(const Head& head, const TargetMatrices& target,
                     const DraftVocabulary& vocabulary, const Batch& batch,
                     const LossOptions& options) {
  BatchLoss out;
  out.steps.resize(static_cast<size_t>(options.steps));
  std::vector<Wanted> wanted = find_wanted(batch, vocabulary, out.steps);
  if (wanted.empty()) return out;
  // Those that every step predicts come first.
  std::ranges::stable_sort(wanted, std::ranges::greater(), &Wanted::slot);
  const int64_t first_base = std::max<int64_t>(wanted.back().slot - options.steps, 0);
  const int64_t num_bases = batch.num_slots() - first_base;
  const at::ScalarType type = head.fc.scalar_type();
  const std::vector<at::Tensor> outputs =
      unroll(head, embed(batch, target.embedding, options.steps, type), batch.states.to(type),
             first_base, options.steps);
  const at::Tensor log_probs = target_log_probs(batch, wanted, target.output);
  const at::Tensor draft_ids = indices(wanted, [](const Wanted& one) { return one.draft_id; });
  out.loss = at::zeros({}, head.fc.options().requires_grad(false));
  double weight = 1.0;
  for (int i = 0; i < options.steps; ++i, weight *= options.decay) {
    while (!wanted.empty() && wanted.back().slot <= i) wanted.pop_back();
    const int64_t count = std::ssize(wanted);
    if (count == 0) break;
    const at::Tensor rows = indices(wanted, [&](const Wanted& one) {
      return one.example * num_bases + one.slot - 1 - i - first_base;
    });
    const at::Tensor logits =
        head_logits(head, outputs[static_cast<size_t>(i)].flatten(0, 1).index_select(0, rows));
    const at::Tensor loss = row_losses(options.kind, log_probs.narrow(0, 0, count), logits).mean();
    out.loss = out.loss + weight * loss;
    StepTally& tally = out.steps[static_cast<size_t>(i)];
    tally.counted = count;
    tally.loss = loss.item<double>();
    tally.hits = logits.argmax(-1).eq(draft_ids.narrow(0, 0, count)).sum().item<int64_t>();
  }
  out.flops = 2 * multiplications(head, batch, num_bases, out.steps);
  return out;
}

}  // namespace forerun
