// Reads what a stranger's files say of a model's shape. An input is a config.json (its first byte
// is
// '{') or a list of choices from which a GGUF with a descriptor's keys is built, nearly all of them
// as a real one has them, so that the last checks are reached all the time.

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "choices.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "models/descriptor.h"

namespace forerun {
namespace {

// What is read can be asked of by the rest of the engine.
void check(const Result<ModelDescriptor>& model) {
  if (!model.ok()) return;
  if (!validate(*model).ok()) std::abort();
  if (static_cast<int>(model->windows.size()) != model->num_layers) std::abort();
  if (model->q_dim() <= 0 || model->kv_dim() <= 0 || model->group_size() <= 0) std::abort();
}

struct Key {
  const char* name;
  double usual;
};
constexpr Key kCounts[] = {
    {"embedding_length", 64},
    {"block_count", 3},
    {"attention.head_count", 4},
    {"attention.head_count_kv", 2},
    {"feed_forward_length", 128},
    {"context_length", 512},
    {"attention.key_length", 16},
    {"attention.value_length", 16},
    {"rope.dimension_count", 16},
    {"attention.sliding_window", 32},
    {"rope.scaling.original_context_length", 128},
};
constexpr Key kReals[] = {
    {"attention.layer_norm_rms_epsilon", 1e-5},
    {"rope.freq_base", 1e4},
    {"rope.freq_base_swa", 1e4},
    {"rope.scaling.factor", 2.0},
    {"rope.scaling.yarn_beta_fast", 32.0},
    {"rope.scaling.yarn_beta_slow", 1.0},
    {"attn_logit_softcapping", 50.0},
    {"final_logit_softcapping", 30.0},
};
constexpr const char* kFamilies[] = {"llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"};
constexpr const char* kScalings[] = {"none", "linear", "yarn", "longrope", "dynamic"};
constexpr float kOddReals[] = {0.0f, -1.0f, 1e-38f, 3e38f, 1e9f, 0.5f};

float odd_real(Choices& choices) {
  const uint64_t which = choices.below(std::size(kOddReals) + 2);
  if (which < std::size(kOddReals)) return kOddReals[which];
  const float zero = 0.0f;
  return which == std::size(kOddReals) ? 1.0f / zero : zero / zero;
}

// Half of the optional keys are left out; one value in sixteen is odd.
void add_keys(Choices& choices, const std::string& family, GgufWriter& writer) {
  writer.add_string("general.architecture", family);
  for (const Key& key : kCounts) {
    if (choices.below(8) == 1) continue;
    const uint64_t value = choices.perhaps(static_cast<uint64_t>(key.usual));
    if (value <= UINT32_MAX && choices.below(2) == 0) {
      writer.add_u32(family + "." + key.name, static_cast<uint32_t>(value));
    } else {
      writer.add_u64(family + "." + key.name, value);
    }
  }
  for (const Key& key : kReals) {
    const uint64_t kind = choices.below(16);
    if (kind == 1) continue;
    writer.add_f32(family + "." + key.name,
                   kind == 2 ? odd_real(choices) : static_cast<float>(key.usual));
  }
  if (choices.below(2) == 1) {
    writer.add_string(family + ".rope.scaling.type",
                      kScalings[choices.below(std::size(kScalings))]);
  }
  if (choices.below(4) == 1) {
    std::vector<int32_t> pattern(choices.perhaps(3) % 8);
    for (int32_t& entry : pattern) entry = static_cast<int32_t>(choices.below(3)) - 1;
    writer.add_i32s(family + ".attention.sliding_window_pattern", pattern);
  }
}

void add_tensors(Choices& choices, GgufWriter& writer) {
  const auto width = static_cast<int64_t>(1 + choices.perhaps(63) % 128);
  const int64_t rows = 8;
  writer.add_f32_tensor("token_embd.weight", {rows, width},
                        std::vector<float>(static_cast<size_t>(rows * width)));
  for (const char* name :
       {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (choices.below(4) != 1) continue;
    std::vector<float> factors(1 + choices.perhaps(7) % 16, 1.0f);
    if (choices.below(4) == 1) factors.front() = odd_real(choices);
    writer.add_f32_tensor(name, {static_cast<int64_t>(factors.size())}, factors);
  }
}

void read_built_gguf(std::span<const uint8_t> bytes) {
  Choices choices(bytes);
  GgufWriter writer;
  add_keys(choices, kFamilies[choices.below(std::size(kFamilies))], writer);
  add_tensors(choices, writer);
  const std::vector<uint8_t> file = writer.encode();
  const Result<Gguf> gguf = Gguf::parse(file, "input", GgufTypes::kSupported);
  if (gguf.ok()) check(read_descriptor(*gguf));
}

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0 && data[0] == '{') {
    const auto config = forerun::parse_json({reinterpret_cast<const char*>(data), size});
    if (config.ok()) forerun::check(forerun::read_descriptor(*config, "config.json"));
  } else {
    forerun::read_built_gguf({data, size});
  }
  return 0;
}
