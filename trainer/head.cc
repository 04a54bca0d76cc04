#include "head.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

namespace forerun {
namespace {

// Of the weights whose outputs are added to the residual, against those of plain variance: the
// layer begins as hardly more than its state.
constexpr double kSmall = 0.1;
// Of the target's norm, whose logits are those of a model that knows: a head that knows nothing yet
// learns faster from vaguer ones.
constexpr double kVague = 0.3;

using Shape = std::vector<int64_t>;
using Sizes = const HeadSizes&;

Shape norm_shape(Sizes s) {
  return {s.d_model};
}

}  // namespace

const std::array<HeadTensor, 13> kHeadTensors = {{
    {"fc.weight", &Head::fc, [](Sizes s) { return Shape{s.d_model, 3 * s.d_model}; }},
    {"midlayer.input_layernorm.weight", &Head::input_norm, norm_shape},
    {"midlayer.hidden_norm.weight", &Head::hidden_norm, norm_shape},
    {"midlayer.self_attn.q_proj.weight", &Head::q,
     [](Sizes s) { return Shape{s.num_heads * s.head_dim, 2 * s.d_model}; }},
    {"midlayer.self_attn.k_proj.weight", &Head::k,
     [](Sizes s) { return Shape{s.num_kv_heads * s.head_dim, 2 * s.d_model}; }},
    {"midlayer.self_attn.v_proj.weight", &Head::v,
     [](Sizes s) { return Shape{s.num_kv_heads * s.head_dim, 2 * s.d_model}; }},
    {"midlayer.self_attn.o_proj.weight", &Head::o,
     [](Sizes s) { return Shape{s.d_model, s.num_heads * s.head_dim}; }},
    {"midlayer.post_attention_layernorm.weight", &Head::mlp_norm, norm_shape},
    {"midlayer.mlp.gate_proj.weight", &Head::gate,
     [](Sizes s) { return Shape{s.d_ff, s.d_model}; }},
    {"midlayer.mlp.up_proj.weight", &Head::up, [](Sizes s) { return Shape{s.d_ff, s.d_model}; }},
    {"midlayer.mlp.down_proj.weight", &Head::down,
     [](Sizes s) { return Shape{s.d_model, s.d_ff}; }},
    {"norm.weight", &Head::norm, norm_shape},
    {"lm_head.weight", &Head::lm_head,
     [](Sizes s) { return Shape{s.draft_vocab_size, s.d_model}; }},
}};

Head make_head(const HeadSizes& sizes, const at::Tensor& output, const at::Tensor& norm,
               uint64_t seed) {
  Head head;
  head.sizes = sizes;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  for (const HeadTensor& row : kHeadTensors) {
    const std::vector<int64_t> shape = row.shape(sizes);
    const bool is_norm = shape.size() == 1;
    // Outputs of variance 1.
    head.*row.tensor = is_norm
                           ? at::ones(shape)
                           : at::randn(shape, generator) / std::sqrt(static_cast<double>(shape[1]));
  }
  for (at::Tensor* small : {&head.fc, &head.o, &head.down}) small->mul_(kSmall);
  head.fc.narrow(1, 2 * sizes.d_model, sizes.d_model).add_(at::eye(sizes.d_model));
  head.norm.copy_(norm).mul_(kVague);
  head.lm_head.copy_(output);
  return head;
}

Head with_matrices(const Head& head, at::ScalarType type) {
  Head out = head;
  for (const HeadTensor& row : kHeadTensors) {
    at::Tensor& parameter = out.*row.tensor;
    if (parameter.dim() == 2) parameter = parameter.to(type);
  }
  return out;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * (x.square().mean(-1, /*keepdim=*/true) + epsilon).rsqrt() * weight;
}

at::Tensor product(const at::Tensor& x, const at::Tensor& matrix, at::ScalarType type) {
  return at::linear(x.to(matrix.scalar_type()), matrix).to(type);
}

at::Tensor head_logits(const Head& head, const at::Tensor& outputs) {
  return product(rms_norm(outputs, head.norm, head.sizes.rms_epsilon), head.lm_head,
                 head.norm.scalar_type());
}

}  // namespace forerun
