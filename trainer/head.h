#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "aten.h"

namespace forerun {

// Sizes of an EAGLE-3 head. All but the draft vocabulary are those of its target's layers.
struct HeadSizes {
  int64_t draft_vocab_size = 0;
  int64_t d_model = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t d_ff = 0;
  double rms_epsilon = 0.0;
  double rope_theta = 0.0;
};

// A head's parameters, all of one floating type: matrices [outputs, inputs], norms [d_model].
struct Head {
  HeadSizes sizes;
  at::Tensor fc;           // of the three states
  at::Tensor input_norm;   // of the embedding
  at::Tensor hidden_norm;  // of the state
  at::Tensor q, k, v, o;
  at::Tensor mlp_norm;
  at::Tensor gate, up, down;
  at::Tensor norm;
  at::Tensor lm_head;
};

// A parameter under its name in the file.
struct HeadTensor {
  const char* name;
  at::Tensor Head::* tensor;
  std::vector<int64_t> (*shape)(const HeadSizes& sizes);
};
extern const std::array<HeadTensor, 13> kHeadTensors;

// f32 parameters before the first step. `output` [draft_vocab_size, d_model] and `norm` are the
// target's: the head begins with its output matrix and a part of its norm, and with states that are
// nearly the last of the three it reads. The same seed gives the same head.
Head make_head(const HeadSizes& sizes, const at::Tensor& output, const at::Tensor& norm,
               uint64_t seed);

// The head's layer, unrolled as it drafts (EAGLE-3's training-time test): slot t reads the target's
// states at its position and the token behind it. Step 0 of base t is slot t. Step i reads the
// token i further on and, for a state, the output of step i − 1; it sees the keys and values of
// slots 0 … t and of its base's own steps 1 … i.
//
//   embeddings [batch, slots + steps − 1, d_model]  of the token behind each slot, and of those
//                                                   that later steps of the last bases read
//   states     [batch, slots, 3 · d_model]
//
// Returns the layer's output of each step for the bases from `first_base` on,
// [batch, slots − first_base, d_model].
std::vector<at::Tensor> unroll(const Head& head, const at::Tensor& embeddings,
                               const at::Tensor& states, int64_t first_base, int steps);

// [rows, draft_vocab_size] of outputs [rows, d_model].
at::Tensor head_logits(const Head& head, const at::Tensor& outputs);

}  // namespace forerun
