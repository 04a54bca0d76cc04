#include "models/eagle3_head.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "base/pacer.h"
#include "formats/dequantize.h"
#include "models/decoder.h"
#include "tensor/buffer.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

static_assert(kNumTaps == kEagle3States);

constexpr int kQ8Elements = 32;
constexpr int kQ8Bytes = 34;

constexpr uint32_t kMagnitude = 0x7FFFFFFFu;  // of a float's bits
constexpr uint32_t kInfinity = 0x7F800000u;

// Of the largest magnitude, the bits: they are in the order of the numbers, not finite ones last.
// Integers, because a loop over them becomes vector instructions.
uint32_t largest_bits(const float* values) {
  uint32_t largest = 0;
  for (int i = 0; i < kQ8Elements; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & kMagnitude);
  }
  return largest;
}

// std::round of what an int can hold, likewise: the largest float below one half keeps what is just
// below one half from being rounded up.
int round_away(float x) {
  return static_cast<int>(x + std::copysign(0x1.FFFFFEp-2f, x));
}

// A block of 32 in Q8_0: the scale that makes the largest 127, and the multiples of it. False: a
// value is not finite.
bool quantize_block(const float* values, uint8_t* out) {
  const uint32_t largest = largest_bits(values);
  if (largest >= kInfinity) return false;
  const float scale = std::bit_cast<float>(largest) / 127.0f;
  const uint16_t stored = f32_to_f16(scale);
  // What rounds to no scale is nothing; its inverse need not be finite.
  const float inverse = stored != 0 ? 1.0f / scale : 0.0f;
  std::memcpy(out, &stored, sizeof(stored));
  for (int i = 0; i < kQ8Elements; ++i) {
    const int level = std::clamp(round_away(values[i] * inverse), -127, 127);
    out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(level));
  }
  return true;
}

// A head's tensors as the loader wants them: matrices in int8, and the target's in place of those
// that it does not have.
class HeadTensors final : public TensorSource {
 public:
  HeadTensors(const Eagle3Checkpoint& checkpoint, const Model& target)
      : checkpoint_(checkpoint), target_(target) {}

  Status quantize_all() {
    for (const char* name :
         {"fc.weight", "lm_head.weight", "model.layers.0.self_attn.q_proj.weight",
          "model.layers.0.self_attn.k_proj.weight", "model.layers.0.self_attn.v_proj.weight",
          "model.layers.0.self_attn.o_proj.weight", "model.layers.0.mlp.gate_proj.weight",
          "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight"}) {
      if (Status status = quantize(name); !status.ok()) return status;
    }
    return {};
  }

  const std::string& path() const override { return checkpoint_.path(); }
  const TensorView* find_tensor(std::string_view name) const override {
    const auto found = quantized_.find(name);
    if (found != quantized_.end()) return &found->second.view;
    const TensorView* own = checkpoint_.find_tensor(name);
    if (own != nullptr) return own;
    if (name == "model.embed_tokens.weight") return &target_.weights().embedding;
    if (name == "lm_head.weight") return target_.stored_output();
    return nullptr;
  }
  std::string_view type_name(std::string_view name) const override {
    return checkpoint_.type_name(name);
  }

 private:
  struct Quantized {
    Buffer memory;
    TensorView view;
  };

  Status quantize(const std::string& name) {
    const TensorView* stored = checkpoint_.find_tensor(name);
    if (stored == nullptr || stored->data == nullptr || stored->shape.size() != 2) return {};
    const int64_t rows = stored->shape[0];
    const int64_t columns = stored->shape[1];
    if (columns % kQ8Elements != 0) return {};
    Quantized out;
    out.memory = Buffer(static_cast<size_t>(row_bytes(DType::kQ8_0, rows * columns)));
    std::vector<float> values(columns);
    uint8_t* block = out.memory.data();
    for (int64_t row = 0; row < rows; ++row) {
      dequantize_row(stored->dtype, stored->data + row * row_bytes(stored->dtype, columns), columns,
                     values.data());
      for (int64_t i = 0; i < columns; i += kQ8Elements, block += kQ8Bytes) {
        if (quantize_block(values.data() + i, block)) continue;
        return Error{path() + ": tensor '" + name + "' holds a value that is not finite"};
      }
      pace();
    }
    out.view = {DType::kQ8_0, {rows, columns}, out.memory.data()};
    quantized_.emplace(name, std::move(out));
    return {};
  }

  const Eagle3Checkpoint& checkpoint_;
  const Model& target_;
  std::map<std::string, Quantized, std::less<>> quantized_;
};

Error unfit(const std::string& path, const std::string& what, int64_t has, int64_t needed) {
  return Error{path + ": " + what + " is " + std::to_string(has) + "; the target's is " +
               std::to_string(needed)};
}

}  // namespace

Result<std::unique_ptr<Eagle3Head>> Eagle3Head::load(const std::string& folder, const Model& target,
                                                     Team& team) {
  Result<Eagle3Checkpoint> checkpoint = Eagle3Checkpoint::open(folder);
  if (!checkpoint.ok()) return checkpoint.error();
  return load(*std::move(checkpoint), target, team);
}

Result<std::unique_ptr<Eagle3Head>> Eagle3Head::load(Eagle3Checkpoint checkpoint,
                                                     const Model& target, Team& team,
                                                     Precision precision) {
  std::unique_ptr<Eagle3Head> head(new Eagle3Head(std::move(checkpoint)));
  if (const Status status = head->describe(target); !status.ok()) return status.error();
  HeadTensors tensors(head->checkpoint_, target);
  if (precision == Precision::kInt8) {
    if (const Status status = tensors.quantize_all(); !status.ok()) return status.error();
  }
  Result<ModelWeights> weights = load_weights(tensors, head->descriptor_, team);
  if (!weights.ok()) return weights.error();
  head->weights_ = *std::move(weights);
  return head;
}

Status Eagle3Head::describe(const Model& target) {
  const Eagle3Config& config = checkpoint_.config();
  const ModelDescriptor& of = target.descriptor();
  const std::string path = checkpoint_.path() + "/config.json";
  Result<ModelDescriptor> layer = read_descriptor(config.layer, path);
  if (!layer.ok()) return layer.error();
  descriptor_ = *std::move(layer);
  if (config.vocab_size != of.vocab_size) {
    return unfit(path, "vocab_size", config.vocab_size, of.vocab_size);
  }
  if (config.target_hidden_size != of.d_model) {
    return unfit(path, "the hidden size of the target", config.target_hidden_size, of.d_model);
  }
  const bool has_embedding = checkpoint_.find_tensor("model.embed_tokens.weight") != nullptr;
  if (!has_embedding && descriptor_.d_model != of.d_model) {
    return Error{path + ": hidden_size is " + std::to_string(descriptor_.d_model) +
                 ", not the target's, and the head has no embedding of its own"};
  }
  state_layers_ = config.state_layers.value_or(tap_layers(of.num_layers));
  if (state_layers_.back() >= of.num_layers) {
    return Error{path + ": eagle_aux_hidden_state_layer_ids name the input of layer " +
                 std::to_string(state_layers_.back()) + "; the target has layers 0 to " +
                 std::to_string(of.num_layers - 1)};
  }
  descriptor_.vocab_size = config.draft_vocab_size;
  descriptor_.token_vocab_size = config.vocab_size;
  descriptor_.state_inputs = kNumTaps * of.d_model;
  descriptor_.normed_states = config.normed_residual;
  descriptor_.windows = {kWindow};
  descriptor_.tied_output = false;
  // Positions count from where its window began, whatever the head was trained with.
  descriptor_.context_length = of.context_length;
  return {};
}

}  // namespace forerun
