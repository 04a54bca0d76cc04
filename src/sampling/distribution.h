#pragma once

#include <cstdint>

#include "sampling/vocab_kernels.h"
#include "tensor/buffer.h"

namespace forerun {

// Everything sampling writes to, sized once. One for each thread that samples; what it held before
// never matters to a result.
class SamplerWorkspace final {
 public:
  SamplerWorkspace(int vocab_size, Isa isa);

  int vocab_size() const { return vocab_size_; }
  const VocabKernels& kernels() const { return kernels_; }

  float* processed_logits() { return processed_logits_.as<float>(); }  // [vocab_size]
  float* cell_max() { return cell_max_.as<float>(); }                  // [num_cells(vocab_size)]
  float* raw_cell_max() { return raw_cell_max_.as<float>(); }          // [num_cells(vocab_size)]
  float* scores() { return scores_.as<float>(); }  // room for vocab_size scores and 16 more

 private:
  int vocab_size_;
  const VocabKernels& kernels_;
  Buffer processed_logits_;
  Buffer cell_max_;
  Buffer raw_cell_max_;
  Buffer scores_;
};

// A distribution over the vocabulary: softmax of the scores (logits times the inverse temperature)
// of the tokens the cut keeps.
//
// Top-k, top-p and min-p each keep the first tokens in the order of descending score, then
// ascending id; a cut says where this prefix ends, and the filters below move it forward. They are
// to be called in this order.
struct Distribution {
  ScoreView view;
  float max_score;
  Cut cut;

  float score(int32_t token_id) const { return view.logits[token_id] * view.scale; }
};

// Keeps the first k tokens: equal scores at the boundary stay by lowest id. k >= 1.
void keep_top_k(Distribution& distribution, int k, SamplerWorkspace& workspace);

// Keeps the shortest prefix whose mass is at least top_p of the mass of the tokens kept so far.
// Masses are integers (vocab_kernels.h), so no order of summation enters; above that, equal scores
// at the boundary stay by lowest id. 0 < top_p <= 1.
void keep_top_p(Distribution& distribution, float top_p, SamplerWorkspace& workspace);

// Keeps the tokens at least min_p as probable as the most probable one: score >= max_score +
// log(min_p), one sum in float. 0 < min_p <= 1.
void keep_min_p(Distribution& distribution, float min_p);

// Mass of all tokens kept, in units of 1 / kMassOne of the most probable token's.
uint64_t kept_mass(const Distribution& distribution, SamplerWorkspace& workspace);

}  // namespace forerun
