#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "formats/model_files.h"
#include "models/rotary.h"

namespace forerun {

enum class Activation : uint8_t { kSilu, kGeluTanh };

enum class TensorNaming : uint8_t { kGguf, kHuggingFace };

// Which two elements of a head a rotation mixes in the file's rows of q and k. Packed weights are
// always in kHalves order: the loader reorders the rows.
enum class RotaryPairs : uint8_t {
  kAdjacent,  // 2i with 2i + 1 (GGUF's llama)
  kHalves,    // i with i + rotated / 2 (Hugging Face, GGUF's other families)
};

// How the file stores the family's tensors: for the loader, nothing the decoder sees.
struct TensorStorage {
  TensorNaming naming = TensorNaming::kGguf;
  RotaryPairs pairs = RotaryPairs::kHalves;
  bool fused = false;           // q, k and v are one matrix, and so are gate and up
  bool norms_less_one = false;  // a norm's weights are stored minus 1
};

// A decoder-only transformer as data; one decoder runs them all.
struct ModelDescriptor {
  std::string architecture;  // as the file calls it: "llama", "qwen3"
  std::string name;          // as the file calls itself
  int64_t vocab_size = 0;
  int64_t d_model = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t d_ff = 0;
  int64_t context_length = 0;
  float rms_epsilon = 1e-5f;

  bool qkv_bias = false;    // q, k and v have biases
  bool qk_norm = false;     // every head of q and k is normalised before it is rotated
  bool post_norms = false;  // what attention and feed-forward add is normalised first
  bool tied_output = false;
  // Above 0: an EAGLE-3 head (models/eagle3_head.h). A row's residual stream begins with a state
  // that comes beside its token, or is projected from so many inputs that do; q, k and v read the
  // token's norm and the state's, side by side.
  int64_t state_inputs = 0;
  bool normed_states = false;    // the residual stream begins with the state's norm instead
  int64_t token_vocab_size = 0;  // of the tokens read, where the logits' are others; else 0
  Activation activation = Activation::kSilu;  // of the feed-forward's gate

  float embedding_scale = 1.0f;
  float attention_scale = 1.0f;     // of q · k
  float attention_soft_cap = 0.0f;  // scores are cap · tanh(score / cap); 0 is none
  float logit_soft_cap = 0.0f;      // and so are logits

  // [num_layers] positions a layer sees, the row's own included; 0 is all.
  std::vector<int64_t> windows;
  RotaryEmbedding rotary;
  std::optional<RotaryEmbedding> window_rotary;  // of layers with a window, where it is another

  TensorStorage storage;

  bool reads_states() const { return state_inputs > 0; }
  int64_t attention_inputs() const { return reads_states() ? 2 * d_model : d_model; }
  int64_t token_ids() const { return token_vocab_size > 0 ? token_vocab_size : vocab_size; }
  int64_t q_dim() const { return num_heads * head_dim; }
  int64_t kv_dim() const { return num_kv_heads * head_dim; }
  int group_size() const { return num_heads / num_kv_heads; }
};

// Checks that the sizes are ones the kernels can run; an Error names the field and the limit.
Status validate(const ModelDescriptor& descriptor);

// Of whatever files a user named.
Result<ModelDescriptor> read_descriptor(const ModelFiles& files);

// From a GGUF's keys. An Error names an architecture that is not known, a missing key, a size out
// of range, a feature the engine does not have.
Result<ModelDescriptor> read_descriptor(const Gguf& file);

// The same from a config.json, whose path stands in errors.
Result<ModelDescriptor> read_descriptor(const Json& config, const std::string& path);

// The architectures `read_descriptor` knows, for messages and `inspect`.
std::string known_architectures();

}  // namespace forerun
