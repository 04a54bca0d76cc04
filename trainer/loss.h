#pragma once

#include <cstdint>
#include <vector>

#include "aten.h"
#include "batch.h"
#include "draft_vocabulary.h"
#include "head.h"

namespace forerun {

// What is made small, p being the target's distribution over the draft vocabulary (temperature 1,
// renormalised) and q the head's.
enum class LossKind : uint8_t {
  kKl,          // Σ p (log p − log q)
  kReverseKl,   // Σ q (log q − log p)
  kAcceptance,  // −log Σ min(p, q), the chance that a draft from q is accepted
};

// Rows of log p [rows, draft_vocab_size], and what each step of an unroll would compute of them
// again.
class TargetRows final {
 public:
  TargetRows(at::Tensor of_log_probs);  // NOLINT(google-explicit-constructor)
  TargetRows first(int64_t count) const;

  at::Tensor log_probs;
  at::Tensor probs;
  at::Tensor sums;  // [rows] of Σ p log p

 private:
  TargetRows() = default;
};

// [rows] of as many of the head's logits [rows, draft_vocab_size].
at::Tensor row_losses(LossKind kind, const TargetRows& target, const at::Tensor& logits);

// What losses are computed with of the target: frozen.
struct TargetMatrices {
  at::Tensor embedding;  // [vocab_size, d_model], any floating type
  at::Tensor output;     // [draft_vocab_size, d_model] of the head's type
};

struct LossOptions {
  LossKind kind = LossKind::kKl;
  int steps = 3;       // unrolled
  double decay = 0.8;  // of the weight of a step against the one before
  // What a token drafted in vain counts, against one of the sequence; 0: branches are not looked
  // at.
  double discard = 0.0;
  bool bf16_products = false;  // of matrices; all else, and their sums, are of the head's type
};

// Of one step of the unroll. A prediction is of a response token at a position with states; it
// counts where the token is in the draft vocabulary.
struct StepTally {
  int64_t predictions = 0;
  int64_t counted = 0;
  int64_t hits = 0;   // whose likeliest token is the one that came
  double loss = 0.0;  // mean over those counted
};

// Of all rows of branches that the unroll reaches.
struct BranchTally {
  int64_t rows = 0;
  double loss = 0.0;  // mean, whatever their steps
};

struct BatchLoss {
  // Scalar: Σ decay^i · mean loss of step i, and discard · decay^i · loss of a branch's row of step
  // i, over as many as step 0 counts.
  at::Tensor loss;
  double sequence_loss = 0.0;  // the first of both sums
  std::vector<StepTally> steps;
  BranchTally branches;
  int64_t counted() const { return steps.front().counted; }
  // Of the matrix products that the loss and its gradients need, attention's left out.
  double flops = 0.0;
};

// With no position counted, `loss` is undefined.
BatchLoss batch_loss(const Head& parameters, const TargetMatrices& target,
                     const DraftVocabulary& vocabulary, const Batch& batch,
                     const LossOptions& options);

}  // namespace forerun
