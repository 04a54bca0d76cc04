#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/model_files.h"

namespace forerun {

// Which two elements of a head a rotation mixes in the file's weights. Packed weights are always in
// kHalves order: the loader reorders rows of q and k.
enum class RotaryPairs : uint8_t {
  kAdjacent,  // 2i with 2i + 1 (GGUF's llama)
  kHalves,    // i with i + head_dim / 2 (Hugging Face)
};

struct RotaryEmbedding {
  float theta = 10000.0f;
  RotaryPairs pairs = RotaryPairs::kHalves;
  float linear_factor = 1.0f;            // positions are divided by it
  std::vector<float> frequency_factors;  // [head_dim / 2] divisors of the frequencies, or empty
};

// A decoder-only transformer as data; one decoder runs them all.
struct ModelDescriptor {
  std::string architecture;  // "llama"
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
  RotaryEmbedding rotary;

  int64_t q_dim() const { return num_heads * head_dim; }
  int64_t kv_dim() const { return num_kv_heads * head_dim; }
  int group_size() const { return num_heads / num_kv_heads; }
};

// Checks that the sizes are ones the kernels can run; an Error names the field and the limit.
Status validate(const ModelDescriptor& descriptor);

// From a GGUF's keys or a directory's config.json. An Error names an architecture that is not
// known, a missing key, a size out of range.
Result<ModelDescriptor> read_descriptor(const ModelFiles& files);

// The architectures `read_descriptor` knows, for messages and `inspect`.
std::string known_architectures();

// Llama-3's frequency divisors: long wavelengths are stretched by `factor`, short ones kept, those
// between interpolated (as Hugging Face's "llama3" rope type).
std::vector<float> llama3_frequency_factors(float theta, int64_t head_dim, float factor,
                                            float low_frequency_factor, float high_frequency_factor,
                                            int64_t original_context);

}  // namespace forerun
