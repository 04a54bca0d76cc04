#include "unroll.h"

#include <cmath>
#include <limits>
#include <utility>

namespace forerun {
namespace {

// A linear map of [token's embedding, state] with the tokens' share computed once for all steps.
class PairProjection {
 public:
  // tokens [batch, tokens, d_model]
  PairProjection(const at::Tensor& weight, const at::Tensor& tokens, int64_t num_heads)
      : token_weight_(weight.narrow(1, 0, tokens.size(-1))),
        state_weight_(weight.narrow(1, tokens.size(-1), tokens.size(-1))),
        of_tokens_(product(tokens, token_weight_, tokens.scalar_type()).flatten(0, 1)),
        num_heads_(num_heads) {}

  // [rows, heads, head_dim] of as many of the tokens, int64 [rows] among batch · tokens, and
  // states [rows, d_model].
  at::Tensor of_known(const at::Tensor& tokens, const at::Tensor& states) const {
    return by_head(of_tokens_.index_select(0, tokens), states);
  }
  // Of other tokens' embeddings [rows, d_model].
  at::Tensor of_others(const at::Tensor& tokens, const at::Tensor& states) const {
    return by_head(product(tokens, token_weight_, tokens.scalar_type()), states);
  }

 private:
  at::Tensor by_head(const at::Tensor& of_tokens, const at::Tensor& states) const {
    const at::Tensor sum = of_tokens + product(states, state_weight_, states.scalar_type());
    return sum.view({sum.size(0), num_heads_, -1});
  }

  at::Tensor token_weight_;
  at::Tensor state_weight_;
  at::Tensor of_tokens_;  // [batch · tokens, heads · head_dim]
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

  // x [rows, heads, head_dim], positions [rows]
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& positions) const {
    const std::vector<at::Tensor> halves = x.chunk(2, -1);
    return x * cosine_.index_select(0, positions).unsqueeze(1) +
           at::cat({halves[1], halves[0]}, -1) * sine_.index_select(0, positions).unsqueeze(1);
  }

 private:
  at::Tensor cosine_, sine_;  // [positions, head_dim]
};

// Keys or values of an example's slots, [kv heads, slots, head_dim].
std::vector<at::Tensor> of_examples(const at::Tensor& packed, const NeededRows& slots) {
  std::vector<at::Tensor> out;
  for (const at::Tensor& part : packed.split_with_sizes(slots.counts())) {
    out.push_back(part.transpose(0, 1).contiguous());
  }
  return out;
}

// What one example's rows look at.
struct Seen {
  at::Tensor slot_keys, slot_values;             // [kv heads, slots, head_dim]
  at::Tensor mask;                               // [rows, slots], added to scores
  std::vector<at::Tensor> own_keys, own_values;  // each row's own: [rows, kv heads, head_dim]
};

// [rows, heads · head_dim] of queries [rows, heads, head_dim].
at::Tensor attend(const at::Tensor& q, const Seen& seen) {
  const int64_t rows = q.size(0), kv_heads = seen.slot_keys.size(0);
  const int64_t slots = seen.slot_keys.size(1), head_dim = q.size(-1);
  // Heads that share keys are rows of one product.
  const at::Tensor grouped = q.view({rows, kv_heads, -1, head_dim}).transpose(0, 1).contiguous();
  const auto by_row = [&](const at::Tensor& x) { return x.view({kv_heads, rows, -1, x.size(-1)}); };
  const auto own = [](const at::Tensor& x) { return x.transpose(0, 1).unsqueeze(2); };
  std::vector<at::Tensor> scores = {
      by_row(at::bmm(grouped.flatten(1, 2), seen.slot_keys.transpose(1, 2))) +
      seen.mask.unsqueeze(1)};
  for (const at::Tensor& keys : seen.own_keys) {
    scores.push_back((grouped * own(keys)).sum(-1, /*keepdim=*/true));
  }
  const at::Tensor weights = at::softmax(at::cat(scores, -1), -1);
  at::Tensor out = by_row(at::bmm(weights.narrow(-1, 0, slots).flatten(1, 2), seen.slot_values));
  for (size_t i = 0; i < seen.own_values.size(); ++i) {
    out = out + weights.narrow(-1, slots + static_cast<int64_t>(i), 1) * own(seen.own_values[i]);
  }
  return out.transpose(0, 1).reshape({rows, -1});
}

class Unrolled {
 public:
  Unrolled(const Head& head, const at::Tensor& embeddings, const at::Tensor& states,
           std::span<const RowRange> bases, int64_t first_base)
      : head_(head),
        type_(head.norm.scalar_type()),
        first_base_(first_base),
        tokens_per_example_(embeddings.size(1)),
        slots_(slots_before(bases), states.size(1)),
        tokens_(normed_tokens(embeddings)),
        q_(head.q, tokens_, head.sizes.num_heads),
        k_(head.k, tokens_, head.sizes.num_kv_heads),
        v_(head.v, tokens_, head.sizes.num_kv_heads),
        rotation_(head.sizes, embeddings.size(1), type_) {
    const at::Tensor projected = product(slots_.pack(states), head.fc, type_);
    const at::Tensor normed = normed_state(projected);
    const at::Tensor tokens = places_of_tokens(slots_, slots_.rows());
    slot_keys_ = of_examples(rotation_(k_.of_known(tokens, normed), slots_.rows()), slots_);
    slot_values_ = of_examples(v_.of_known(tokens, normed), slots_);
    bases_.needed = NeededRows(from_first(bases), states.size(1) - first_base);
    bases_.slots = bases_.needed.rows() + first_base;
    bases_.state = bases_.needed.pack(slots_.spread(projected).slice(1, first_base));
    hide_later_slots(bases_);
  }

  // The next step's output.
  StepOutputs step(const BranchRows& branches) {
    // From what the step before left.
    Rows branch_rows = branches.any() ? rows_of(branches) : Rows();
    step_bases();
    if (branches.any()) step_branches(branch_rows, branches);
    branches_ = std::move(branch_rows);
    ++num_steps_;
    return {bases_.all(bases_.state),
            branches.any() ? branches_.all(branches_.state) : at::Tensor()};
  }

 private:
  static constexpr double kUnseen = -std::numeric_limits<double>::infinity();

  // What is computed side by side in each step.
  struct Rows {
    NeededRows needed;                     // of the outputs' rows
    at::Tensor slots;                      // int64 [rows]: of their bases
    at::Tensor state;                      // [rows, d_model]
    std::vector<at::Tensor> masks;         // of each example [its rows, its slots]
    std::vector<at::Tensor> keys, values;  // of steps 1 …: [rows, kv heads, head_dim]

    at::Tensor all(const at::Tensor& packed) const { return needed.spread(packed); }
  };

  // A base sees no slot behind its own.
  static std::vector<RowRange> slots_before(std::span<const RowRange> bases) {
    std::vector<RowRange> slots;
    for (const RowRange& range : bases) slots.push_back({0, range.end});
    return slots;
  }
  std::vector<RowRange> from_first(std::span<const RowRange> bases) const {
    std::vector<RowRange> out;
    for (const RowRange& range : bases) {
      out.push_back({range.first - first_base_, range.end - first_base_});
    }
    return out;
  }

  // Of each row's example, the token at `positions`: its place in all of the batch's.
  at::Tensor places_of_tokens(const NeededRows& rows, const at::Tensor& positions) const {
    return rows.examples() * tokens_per_example_ + positions;
  }

  at::Tensor normed_tokens(const at::Tensor& embeddings) const {
    return rms_norm(embeddings, head_.input_norm, head_.sizes.rms_epsilon);
  }
  at::Tensor normed_state(const at::Tensor& state) const {
    return rms_norm(state, head_.hidden_norm, head_.sizes.rms_epsilon);
  }

  void step_bases() {
    const at::Tensor positions = bases_.slots + num_steps_;
    const at::Tensor tokens = places_of_tokens(bases_.needed, positions);
    const at::Tensor normed = normed_state(bases_.state);
    if (num_steps_ > 0) {
      bases_.keys.push_back(rotation_(k_.of_known(tokens, normed), positions));
      bases_.values.push_back(v_.of_known(tokens, normed));
    }
    advance(bases_, rotation_(q_.of_known(tokens, normed), positions));
  }

  void step_branches(Rows& rows, const BranchRows& branches) const {
    const at::Tensor tokens = normed_tokens(branches.embeddings).flatten(0, 1);
    const at::Tensor positions = rows.slots + num_steps_;
    const at::Tensor normed = normed_state(rows.state);
    rows.keys.push_back(rotation_(k_.of_others(tokens, normed), positions));
    rows.values.push_back(v_.of_others(tokens, normed));
    advance(rows, rotation_(q_.of_others(tokens, normed), positions));
  }

  // Branches' rows, with the outputs of their parents for states and all that these saw.
  Rows rows_of(const BranchRows& branches) const {
    const at::Tensor& parents = branches.parents;  // [batch, rows]
    const int64_t batch = parents.size(0);
    const bool any = branches_.state.defined();
    const auto of_parents = [&](const at::Tensor& of_bases, const at::Tensor& of_branches) {
      std::vector<at::Tensor> all = {bases_.all(of_bases)};
      if (any) all.push_back(branches_.all(of_branches));
      const at::Tensor rows = all.size() == 1 ? all[0] : at::cat(all, 1);
      const at::Tensor first = at::arange(batch, at::kLong).unsqueeze(-1) * rows.size(1);
      return rows.flatten(0, 1).index_select(0, (parents + first).flatten());
    };
    Rows rows;
    rows.needed = NeededRows::all(batch, parents.size(1));
    rows.slots = branches.bases.flatten();
    rows.state = of_parents(bases_.state, branches_.state);
    for (size_t i = 0; i < bases_.keys.size(); ++i) {
      rows.keys.push_back(of_parents(bases_.keys[i], any ? branches_.keys[i] : at::Tensor()));
      rows.values.push_back(of_parents(bases_.values[i], any ? branches_.values[i] : at::Tensor()));
    }
    hide_later_slots(rows);
    return rows;
  }

  // A row sees the slots up to its base.
  void hide_later_slots(Rows& rows) const {
    const std::vector<at::Tensor> slots = rows.slots.split_with_sizes(rows.needed.counts());
    for (size_t i = 0; i < slots.size(); ++i) {
      const at::Tensor later = at::arange(slots_.counts()[i], at::kLong) > slots[i].unsqueeze(-1);
      rows.masks.push_back(at::zeros(later.sizes(), rows.state.options().requires_grad(false))
                               .masked_fill(later, kUnseen));
    }
  }

  // The layer, over the queries [rows, heads, head_dim] of their tokens and states.
  void advance(Rows& rows, const at::Tensor& q) const {
    const at::Tensor hidden = rows.state + product(attended(rows, q), head_.o, type_);
    const at::Tensor x = rms_norm(hidden, head_.mlp_norm, head_.sizes.rms_epsilon);
    const at::Tensor gated = at::silu(product(x, head_.gate, type_)) * product(x, head_.up, type_);
    rows.state = hidden + product(gated, head_.down, type_);
  }

  // [rows, heads · head_dim]
  at::Tensor attended(const Rows& rows, const at::Tensor& queries) const {
    const double scale = 1.0 / std::sqrt(static_cast<double>(head_.sizes.head_dim));
    const std::vector<int64_t>& counts = rows.needed.counts();
    std::vector<Seen> seen;
    for (size_t i = 0; i < counts.size(); ++i) {
      seen.push_back({slot_keys_[i], slot_values_[i], rows.masks[i], {}, {}});
    }
    const auto share = [&](const std::vector<at::Tensor>& list,
                           std::vector<at::Tensor> Seen::* own) {
      for (const at::Tensor& packed : list) {
        const std::vector<at::Tensor> parts = packed.split_with_sizes(counts);
        for (size_t i = 0; i < counts.size(); ++i) (seen[i].*own).push_back(parts[i]);
      }
    };
    share(rows.keys, &Seen::own_keys);
    share(rows.values, &Seen::own_values);
    const std::vector<at::Tensor> q = (queries * scale).split_with_sizes(counts);
    std::vector<at::Tensor> out;
    for (size_t i = 0; i < counts.size(); ++i) out.push_back(attend(q[i], seen[i]));
    return at::cat(out);
  }

  const Head& head_;
  at::ScalarType type_;  // of all but the products
  int64_t first_base_;
  int64_t tokens_per_example_;
  NeededRows slots_;
  at::Tensor tokens_;
  PairProjection q_, k_, v_;
  Rotation rotation_;
  std::vector<at::Tensor> slot_keys_, slot_values_;  // of each example
  Rows bases_;
  Rows branches_;  // of the step before
  int64_t num_steps_ = 0;
};

}  // namespace

std::vector<StepOutputs> unroll(const Head& head, const at::Tensor& embeddings,
                                const at::Tensor& states, int64_t first_base, int steps,
                                std::span<const BranchRows> branches,
                                std::span<const RowRange> needed) {
  const std::vector<RowRange> all(static_cast<size_t>(states.size(0)),
                                  {first_base, states.size(1)});
  Unrolled unrolled(head, embeddings, states, needed.empty() ? all : needed, first_base);
  std::vector<StepOutputs> outputs;
  for (size_t i = 0; i < static_cast<size_t>(steps); ++i) {
    outputs.push_back(unrolled.step(i < branches.size() ? branches[i] : BranchRows()));
  }
  return outputs;
}

}  // namespace forerun
