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

// A head's parameters: matrices [outputs, inputs], norms [d_model]; all of one floating type, but
// for what with_matrices() makes.
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

// The head with its matrices in another type, for products; norms, and with them all that is
// added and normalised, keep theirs. Gradients flow through to `head`, where they become its type
// again. One that has the type already is the same.
Head with_matrices(const Head& head, at::ScalarType type);

// x [rows, inputs] times the transpose of `matrix` [outputs, inputs], computed in the matrix's
// type, as `type`.
at::Tensor product(const at::Tensor& x, const at::Tensor& matrix, at::ScalarType type);

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

// [rows, draft_vocab_size] of outputs [rows, d_model].
at::Tensor head_logits(const Head& head, const at::Tensor& outputs);

}  // namespace forerun
