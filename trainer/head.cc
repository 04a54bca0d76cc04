#include "head.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <limits>

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

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * (x.square().mean(-1, /*keepdim=*/true) + epsilon).rsqrt() * weight;
}

// A linear map of [token's embedding, state] with the tokens' share computed once for all steps.
class PairProjection {
 public:
  PairProjection(const at::Tensor& weight, const at::Tensor& tokens, int64_t num_heads)
      : state_weight_(weight.narrow(1, tokens.size(-1), tokens.size(-1))),
        of_tokens_(at::linear(tokens, weight.narrow(1, 0, tokens.size(-1)))),
        num_heads_(num_heads) {}

  // [batch, heads, rows, head_dim] of the tokens from `first` on and as many states.
  at::Tensor operator()(int64_t first, const at::Tensor& states) const {
    const int64_t rows = states.size(1);
    const at::Tensor sum = of_tokens_.narrow(1, first, rows) + at::linear(states, state_weight_);
    return sum.view({sum.size(0), rows, num_heads_, -1}).transpose(1, 2);
  }

 private:
  at::Tensor state_weight_;
  at::Tensor of_tokens_;
  int64_t num_heads_;
};

// Turns the pairs (i, i + head_dim / 2) of every head.
class Rotation {
 public:
  Rotation(const HeadSizes& sizes, int64_t positions, at::ScalarType type) {
    const int64_t half = sizes.head_dim / 2;
    const at::Tensor exponents = at::arange(half, at::kDouble) / static_cast<double>(half);
    const at::Tensor frequencies = at::pow(at::Scalar(sizes.rope_theta), -exponents);
    const at::Tensor angles = at::outer(at::arange(positions, at::kDouble), frequencies);
    cosine_ = at::cat({angles.cos(), angles.cos()}, -1).to(type);
    sine_ = at::cat({-angles.sin(), angles.sin()}, -1).to(type);
  }

  at::Tensor operator()(const at::Tensor& x, int64_t first_position) const {
    const int64_t rows = x.size(-2);
    const std::vector<at::Tensor> halves = x.chunk(2, -1);
    return x * cosine_.narrow(0, first_position, rows) +
           at::cat({halves[1], halves[0]}, -1) * sine_.narrow(0, first_position, rows);
  }

 private:
  at::Tensor cosine_, sine_;  // [positions, head_dim]
};

class Unrolled {
 public:
  Unrolled(const Head& head, const at::Tensor& embeddings, const at::Tensor& states,
           int64_t first_base)
      : head_(head),
        first_base_(first_base),
        num_slots_(states.size(1)),
        tokens_(rms_norm(embeddings, head.input_norm, head.sizes.rms_epsilon)),
        q_(head.q, tokens_, head.sizes.num_heads),
        k_(head.k, tokens_, head.sizes.num_kv_heads),
        v_(head.v, tokens_, head.sizes.num_kv_heads),
        rotation_(head.sizes, embeddings.size(1), embeddings.scalar_type()) {
    const at::Tensor projected = at::linear(states, head.fc);
    const at::Tensor normed = normed_state(projected);
    slot_keys_ = rotation_(k_(0, normed), 0);
    slot_values_ = v_(0, normed);
    state_ = projected.narrow(1, first_base, num_bases());
    // A base sees the slots before it and its own.
    mask_ = at::full({num_bases(), num_slots_}, -std::numeric_limits<double>::infinity(),
                     states.options())
                .triu(first_base + 1);
  }

  // The next step's output.
  at::Tensor step() {
    const at::Tensor normed = normed_state(state_);
    if (num_steps_ > 0) add_own(normed);
    const at::Tensor hidden = state_ + at::linear(attended(normed), head_.o);
    const at::Tensor x = rms_norm(hidden, head_.mlp_norm, head_.sizes.rms_epsilon);
    const at::Tensor gated = at::silu(at::linear(x, head_.gate)) * at::linear(x, head_.up);
    state_ = hidden + at::linear(gated, head_.down);
    ++num_steps_;
    return state_;
  }

 private:
  int64_t num_bases() const { return num_slots_ - first_base_; }
  at::Tensor normed_state(const at::Tensor& state) const {
    return rms_norm(state, head_.hidden_norm, head_.sizes.rms_epsilon);
  }

  // Keys and values that only later steps of the same base see.
  void add_own(const at::Tensor& normed) {
    const int64_t first = first_base_ + num_steps_;
    own_keys_.push_back(rotation_(k_(first, normed), first).unsqueeze(2));
    own_values_.push_back(v_(first, normed).unsqueeze(2));
  }

  // [batch, bases, heads · head_dim]
  at::Tensor attended(const at::Tensor& normed) const {
    const int64_t first = first_base_ + num_steps_;
    const double scale = 1.0 / std::sqrt(static_cast<double>(head_.sizes.head_dim));
    const at::Tensor q = rotation_(q_(first, normed), first) * scale;
    const int64_t batch = q.size(0), groups = head_.sizes.num_kv_heads;
    // Heads that share keys are rows of one product.
    const auto by_group = [&](const at::Tensor& x) {
      return x.view({batch, groups, -1, num_bases(), x.size(-1)});
    };
    const auto as_rows = [&](const at::Tensor& x) {
      return x.reshape({batch, groups, -1, x.size(-1)});
    };
    const at::Tensor grouped = by_group(q);
    std::vector<at::Tensor> scores = {
        by_group(at::matmul(as_rows(q), slot_keys_.transpose(-1, -2))) + mask_};
    for (const at::Tensor& keys : own_keys_) {
      scores.push_back((grouped * keys).sum(-1, /*keepdim=*/true));
    }
    const at::Tensor weights = at::softmax(at::cat(scores, -1), -1);
    at::Tensor out = by_group(at::matmul(as_rows(weights.narrow(-1, 0, num_slots_)), slot_values_));
    for (size_t i = 0; i < own_values_.size(); ++i) {
      out = out + weights.narrow(-1, num_slots_ + static_cast<int64_t>(i), 1) * own_values_[i];
    }
    return out.reshape({batch, head_.sizes.num_heads, num_bases(), -1})
        .transpose(1, 2)
        .reshape({batch, num_bases(), -1});
  }

  const Head& head_;
  int64_t first_base_;
  int64_t num_slots_;
  int64_t num_steps_ = 0;
  at::Tensor tokens_;
  PairProjection q_, k_, v_;
  Rotation rotation_;
  at::Tensor slot_keys_, slot_values_;             // [batch, kv heads, slots, head_dim]
  std::vector<at::Tensor> own_keys_, own_values_;  // [batch, kv heads, 1, bases, head_dim]
  at::Tensor state_;                               // [batch, bases, d_model]
  at::Tensor mask_;                                // [bases, slots]
};

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

std::vector<at::Tensor> unroll(const Head& head, const at::Tensor& embeddings,
                               const at::Tensor& states, int64_t first_base, int steps) {
  Unrolled unrolled(head, embeddings, states, first_base);
  std::vector<at::Tensor> outputs;
  for (int i = 0; i < steps; ++i) outputs.push_back(unrolled.step());
  return outputs;
}

at::Tensor head_logits(const Head& head, const at::Tensor& outputs) {
  return at::linear(rms_norm(outputs, head.norm, head.sizes.rms_epsilon), head.lm_head);
}

}  // namespace forerun
