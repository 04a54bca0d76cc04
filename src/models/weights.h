#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "formats/tensor_source.h"
#include "kernels/packed_matrix.h"
#include "models/descriptor.h"
#include "tensor/buffer.h"

namespace forerun {

// One decoder layer, packed. Matrices are [outputs, inputs], q, k and v with attention_inputs();
// what the model does not have is empty.
struct LayerWeights {
  std::vector<float> attention_norm;  // [d_model]
  std::vector<float> token_norm;      // [d_model] of the token's embedding, of a head
  PackedMatrix q;                     // [num_heads · head_dim, inputs], rows in halves order
  PackedMatrix k;                     // [num_kv_heads · head_dim, inputs], rows in halves order
  PackedMatrix v;                     // [num_kv_heads · head_dim, inputs]
  std::vector<float> q_bias;          // of the panels of q, zero beyond its rows; also:
  std::vector<float> k_bias;
  std::vector<float> v_bias;
  std::vector<float> q_norm;               // [head_dim], the same for every head
  std::vector<float> k_norm;               // [head_dim]
  PackedMatrix attention_output;           // [d_model, num_heads · head_dim]
  std::vector<float> post_attention_norm;  // [d_model]
  std::vector<float> ffn_norm;             // [d_model]
  PackedMatrix gate;                       // [d_ff, d_model]
  PackedMatrix up;                         // [d_ff, d_model]
  PackedMatrix down;                       // [d_model, d_ff]
  std::vector<float> post_ffn_norm;        // [d_model]
};

struct ModelWeights {
  TensorView embedding;  // [token_ids(), d_model], a view of the file: one row is read per token
  std::vector<LayerWeights> layers;
  PackedMatrix state_projection;   // [d_model, state_inputs], of a head
  std::vector<float> output_norm;  // [d_model]
  PackedMatrix output;             // [vocab_size, d_model]; the embedding packed when tied
  // Where all of them stand, in the order a step reads them: one piece, so that large pages can
  // back it (a matrix alone is often smaller than one).
  Buffer matrix_memory;
  uint64_t fingerprint = 0;  // of every tensor's bytes and of the descriptor's numbers
  int64_t packed_bytes = 0;  // of all PackedMatrix
  // The file's bytes one decode step reads: every matrix once, as stored (never our layout), the
  // embedding only where it is the output matrix.
  int64_t file_bytes_per_step = 0;
};

// Called on the calling thread with the share of the work done, 0 … 1.
using LoadProgress = std::function<void(double)>;

// Checks and repacks a file's tensors, in parallel. `file` must outlive the result. An Error names
// the tensor, its shape or type, and what the model needs.
Result<ModelWeights> load_weights(const TensorSource& file, const ModelDescriptor& descriptor,
                                  Team& team, const LoadProgress& progress = {});

}  // namespace forerun
