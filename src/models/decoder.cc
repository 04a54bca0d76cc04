#include "models/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "formats/dequantize.h"

namespace forerun {
namespace {

// Up to this many rows, every member prepares a product's left side for itself: cheaper than
// dealing the rows out and waiting for each other.
constexpr int kRowsPreparedAlone = 4;
// Feed-forward columns computed, activated and quantised at a time.
constexpr int64_t kFfnChunk = 32;
constexpr int64_t kPanelsPerFfnChunk = kFfnChunk / kPanelRows;

constexpr float kLog2E = 1.44269504f;

int64_t whole_panels(int64_t columns) {
  return (columns + kPanelRows - 1) / kPanelRows * kPanelRows;
}
int64_t whole_blocks(int64_t columns) {
  return (columns + kBlockInputs - 1) / kBlockInputs * kBlockInputs;
}

}  // namespace

std::array<int, kNumTaps> tap_layers(int num_layers) {
  const int last = num_layers - 1;
  std::array<int, kNumTaps> layers = {2, num_layers / 2, num_layers - 3};
  for (int& layer : layers) layer = std::clamp(layer, 0, last);
  std::sort(layers.begin(), layers.end());
  if (layers[0] < layers[1] && layers[1] < layers[2]) return layers;
  return {std::min(1, last), num_layers / 2, last};
}

KvShape kv_shape(const ModelDescriptor& model, KvType type) {
  return {model.num_layers, model.num_kv_heads, model.head_dim, {}, type};
}

Decoder::Operand Decoder::make_operand(int64_t rows, int64_t columns) {
  Operand operand;
  const int64_t padded = whole_blocks(columns);
  const int64_t blocks = padded / kBlockInputs;
  operand.values = arena_.take(rows * padded);
  operand.scale = arena_.take(rows * blocks * sizeof(float));
  operand.sum = arena_.take(rows * blocks * sizeof(int32_t));
  operand.scaled_sum = arena_.take(rows * blocks * sizeof(float));
  operand.half_sum = arena_.take(rows * blocks * 2 * sizeof(int16_t));
  operand.dense = arena_.take(rows * padded * sizeof(float));
  operand.bf16 = arena_.take(rows * padded * sizeof(uint16_t));
  operand.quantized = {operand.values.as<int8_t>(),    operand.scale.as<float>(),
                       operand.sum.as<int32_t>(),      operand.scaled_sum.as<float>(),
                       operand.half_sum.as<int16_t>(), padded};
  operand.dense_stride = padded;
  return operand;
}

Decoder::Decoder(const ModelDescriptor& model, const ModelWeights& weights,
                 const KernelTable& kernels, Team& team, Limits limits)
    : model_(model),
      weights_(weights),
      kernels_(kernels),
      team_(team),
      limits_(limits),
      logits_stride_(whole_panels(model.vocab_size)),
      qkv_stride_(whole_panels(model.q_dim()) + 2 * whole_panels(model.kv_dim())),
      act_stride_(whole_blocks(model.d_ff)) {
  plan_layers();
  const int64_t rows = limits.max_rows;
  const int64_t partial_capacity = plans_[0].partial_capacity();
  const int64_t padded = padded_head_dim(model.head_dim);
  positions_.resize(rows);
  row_group_.resize(rows);
  page_rows_.reserve(rows);
  hidden_ = arena_.take(rows * whole_panels(model.d_model) * sizeof(float));
  if (model.reads_states()) {
    embedded_ = arena_.take(rows * model.d_model * sizeof(float));
    state_inputs_ = make_operand(rows, model.state_inputs);
    joined_ = make_operand(rows, model.attention_inputs());
  }
  normed_ = make_operand(rows, model.d_model);
  attended_ = make_operand(rows, model.q_dim());
  activated_ = make_operand(rows, model.d_ff);
  qkv_ = arena_.take(rows * qkv_stride_ * sizeof(float));
  if (model.post_norms) branch_ = arena_.take(rows * model.d_model * sizeof(float));
  rotations_ = arena_.take(rotaries_.size() * rows * model.head_dim * sizeof(float));
  partials_ = arena_.take(partial_capacity * padded * sizeof(float));
  partial_states_ = arena_.take(partial_capacity * sizeof(AttentionState));
  logits_ = arena_.take(limits.max_logit_rows * logits_stride_ * sizeof(float));
  const int64_t widest =
      std::max({model.attention_inputs(), model.q_dim(), model.d_ff, model.state_inputs});
  scratch_.resize(team.capacity());
  for (MemberScratch& scratch : scratch_) {
    scratch.attention = arena_.take(attention_scratch_bytes(model.head_dim));
    // The widest type's; the step's pool says which it is.
    scratch.tail_pages =
        arena_.take(2 * kPagesPerPartition * page_head_bytes(KvType::kF16, model.head_dim));
    scratch.tile_out = arena_.take(3 * kMaxQueryRows * padded * sizeof(float));
    scratch.gate_up = arena_.take(rows * 2 * kFfnChunk * sizeof(float));
    scratch.rows = make_operand(kRowsPreparedAlone, widest);
  }
}

void Decoder::plan_layers() {
  rotaries_.push_back(&model_.rotary);
  if (model_.window_rotary) rotaries_.push_back(&*model_.window_rotary);
  for (const int64_t window : model_.windows) {
    const auto same = std::ranges::find(plans_, window, &AttentionPlan::window);
    const auto plan = static_cast<int>(same - plans_.begin());
    if (same == plans_.end())
      plans_.emplace_back(model_, window, team_.capacity(), limits_.max_rows);
    layer_kinds_.push_back({plan, window > 0 && model_.window_rotary ? 1 : 0});
  }
}

void Decoder::prepare(const StepInput& input, const KvPool& pool) {
  const auto num_rows = static_cast<int64_t>(input.tokens.size());
  CHECK(num_rows <= limits_.max_rows, "more rows than the decoder was made for");
  CHECK(model_.reads_states() == (input.states != nullptr || input.state_inputs != nullptr),
        "states come where the model reads them");
  CHECK(static_cast<int64_t>(input.logit_rows.size()) <= limits_.max_logit_rows,
        "more logit rows than the decoder was made for");
  page_rows_.clear();
  int64_t row = 0;
  for (size_t g = 0; g < input.groups.size(); ++g) {
    const RowGroup& group = input.groups[g];
    CHECK(row + group.num_rows <= num_rows, "groups hold more rows than there are tokens");
    CHECK(
        static_cast<int64_t>(group.pages.size()) * kPageTokens >= group.first_slot + group.num_rows,
        "the group's pages do not cover its slots");
    for (int i = 0; i < group.num_rows; ++i) {
      const int parent = group.parents != nullptr ? group.parents[i] : i - 1;
      CHECK(parent < i, "a tree row's parent comes before it");
      positions_[row + i] = parent < 0 ? group.first_slot : positions_[row + parent] + 1;
      row_group_[row + i] = static_cast<int32_t>(g);
      const bool starts_page = i == 0 || (group.first_slot + i) % kPageTokens == 0;
      if (starts_page) page_rows_.push_back({row + i, row + i});
      page_rows_.back().end = row + i + 1;
    }
    row += group.num_rows;
  }
  CHECK(row == num_rows, "groups hold fewer rows than there are tokens");
  for (const RowGroup& group : input.groups) {
    for (const int32_t page : group.pages) {
      CHECK(page >= 0 && page < pool.num_pages(), "no such page");
    }
  }
  for (AttentionPlan& plan : plans_) {
    plan.build(input.groups, {positions_.data(), static_cast<size_t>(num_rows)}, team_.size());
  }
}

// One team member's walk through a step. Every member makes the same calls in the same order, so
// that the barriers match.
class Decoder::Region {
 public:
  Region(Decoder& decoder, int member)
      : d_(decoder),
        model_(decoder.model_),
        ops_(decoder.kernels_.rows),
        scratch_(decoder.scratch_[member]),
        member_(member),
        team_size_(decoder.team_.size()),
        num_rows_(static_cast<int64_t>(decoder.input_->tokens.size())),
        timing_(decoder.profiling_ && member == 0),
        last_time_(timing_ ? now_seconds() : 0.0) {}

  void run() {
    if (d_.input_->state_inputs != nullptr) project_states();
    embed();
    for (int layer = 0; layer < model_.num_layers; ++layer) {
      tap_input(layer);
      attention(layer);
      feed_forward(layer);
    }
    tap_leaving();
    logits();
  }

 private:
  Range mine(int64_t count, int64_t grain = 1) const {
    return share_of(count, member_, team_size_, grain);
  }

  // Ends a part: everybody is done with it.
  void sync(StepPart part) {
    d_.team_.barrier();
    mark(part);
  }
  void mark(StepPart part) {
    if (!timing_) return;
    const double now = now_seconds();
    d_.profile_[static_cast<size_t>(part)] += now - last_time_;
    last_time_ = now;
  }

  const AttentionPlan& plan(int layer) const { return d_.plans_[d_.layer_kinds_[layer].plan]; }

  float* hidden(int64_t row) { return d_.hidden_.as<float>() + row * model_.d_model; }
  float* query(int64_t row, int head) {
    return d_.qkv_.as<float>() + row * d_.qkv_stride_ + head * model_.head_dim;
  }
  float* key(int64_t row, int head) { return query(row, head) + whole_panels(model_.q_dim()); }
  float* value(int64_t row, int head) { return key(row, head) + whole_panels(model_.kv_dim()); }

  float* embedded(int64_t row) {
    return model_.reads_states() ? d_.embedded_.as<float>() + row * model_.d_model : hidden(row);
  }

  void embed() {
    const TensorView& embedding = d_.weights_.embedding;
    const int64_t stride = row_bytes(embedding.dtype, model_.d_model);
    const Range rows = mine(num_rows_);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const int32_t token = d_.input_->tokens[row];
      CHECK(token >= 0 && token < model_.token_ids(), "no such token");
      float* out = embedded(row);
      dequantize_row(embedding.dtype, embedding.data + token * stride, model_.d_model, out);
      if (model_.embedding_scale != 1.0f) {
        for (int64_t i = 0; i < model_.d_model; ++i) out[i] *= model_.embedding_scale;
      }
      if (model_.reads_states()) take_state(row);
      for (size_t i = 0; i < d_.rotaries_.size(); ++i) rotations(row, static_cast<int>(i));
    }
    sync(StepPart::kPrepare);
  }

  void project_states() {
    const PackedMatrix& weight = d_.weights_.state_projection;
    const Operand& x =
        prepare_rows(d_.state_inputs_, num_rows_, model_.state_inputs, forms_of(weight),
                     [&](int64_t row, float* out) {
                       const float* inputs = d_.input_->state_inputs;
                       std::copy_n(inputs + row * model_.state_inputs, model_.state_inputs, out);
                     });
    MatmulArgs args = product(weight, x, num_rows_, hidden(0), model_.d_model);
    args.panels = mine(weight.panels());
    d_.kernels_.matmul(args);
    d_.team_.barrier();
  }

  void take_state(int64_t row) {
    const float* states = d_.input_->states;
    if (states != nullptr) std::copy_n(states + row * model_.d_model, model_.d_model, hidden(row));
    if (model_.normed_states) norm_state(hidden(row), hidden(row));
  }
  void norm_state(const float* state, float* out) {
    const std::vector<float>& weight = d_.weights_.layers[0].attention_norm;
    ops_.rms_norm(state, weight.data(), model_.rms_epsilon, model_.d_model, out);
  }

  float* rotation(int rotary, int64_t row) {
    return d_.rotations_.as<float>() + (rotary * d_.limits_.max_rows + row) * model_.head_dim;
  }

  void rotations(int64_t row, int rotary) {
    const RotaryEmbedding& turn = *d_.rotaries_[rotary];
    const auto position = static_cast<double>(d_.positions_[row]);
    float* cosine = rotation(rotary, row);
    float* sine = cosine + turn.rotated() / 2;
    for (int64_t i = 0; i < turn.rotated() / 2; ++i) {
      const double angle = position * static_cast<double>(turn.inverse_frequencies[i]);
      cosine[i] = static_cast<float>(std::cos(angle)) * turn.attention_factor;
      sine[i] = static_cast<float>(std::sin(angle)) * turn.attention_factor;
    }
  }

  void tap_input(int layer) {
    if (d_.input_->tap == nullptr) return;
    const std::array<int, kNumTaps>& layers = d_.input_->tap->layers;
    for (int i = 0; i < kNumTaps; ++i) {
      float* out = d_.input_->tap->entering[i];
      if (layers[i] != layer || out == nullptr) continue;
      const Range rows = mine(num_rows_);
      std::copy(hidden(rows.begin), hidden(rows.end), out + rows.begin * model_.d_model);
    }
  }

  void tap_leaving() {
    if (d_.input_->tap == nullptr || d_.input_->tap->leaving == nullptr) return;
    const Range rows = mine(num_rows_);
    std::copy(hidden(rows.begin), hidden(rows.end),
              d_.input_->tap->leaving + rows.begin * model_.d_model);
  }

  OperandForms forms_of(const PackedMatrix& weight) const { return d_.kernels_.forms_of(weight); }

  // Makes rows of `operand` ready for a product: fill(row, out) gives the floats, which are
  // quantised or rounded when a weight wants it. Returns the operand to read: few rows, every
  // member's own.
  template <typename Fill>
  const Operand& prepare_rows(Operand& shared, int64_t num_rows, int64_t columns,
                              OperandForms forms, Fill fill) {
    const bool alone = num_rows <= kRowsPreparedAlone;
    Operand& operand = alone ? scratch_.rows : shared;
    if (alone) {
      operand.quantized.columns = whole_blocks(columns);
      operand.dense_stride = whole_blocks(columns);
    }
    const Range rows = alone ? Range{0, num_rows} : mine(num_rows);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      float* dense = operand.dense.as<float>() + row * operand.dense_stride;
      fill(row, dense);
      if (forms.int8) {
        ops_.quantize_row(dense, operand.quantized.columns, operand.quantized.from(row));
      }
      if (forms.bf16) {
        ops_.round_row(dense, columns, operand.bf16.as<uint16_t>() + row * operand.dense_stride);
      }
    }
    if (!alone) d_.team_.barrier();
    return operand;
  }

  const Operand& norm(const std::vector<float>& weight, OperandForms forms) {
    const Operand& operand =
        prepare_rows(d_.normed_, num_rows_, model_.d_model, forms, [&](int64_t row, float* out) {
          ops_.rms_norm(hidden(row), weight.data(), model_.rms_epsilon, model_.d_model, out);
        });
    mark(StepPart::kNorm);
    return operand;
  }

  // What q, k and v read.
  const Operand& attention_inputs(const LayerWeights& w, OperandForms forms) {
    if (!model_.reads_states()) return norm(w.attention_norm, forms);
    const Operand& operand = prepare_rows(d_.joined_, num_rows_, model_.attention_inputs(), forms,
                                          [&](int64_t row, float* out) {
                                            ops_.rms_norm(embedded(row), w.token_norm.data(),
                                                          model_.rms_epsilon, model_.d_model, out);
                                            float* state = out + model_.d_model;
                                            if (model_.normed_states) {
                                              std::copy_n(hidden(row), model_.d_model, state);
                                            } else {
                                              norm_state(hidden(row), state);
                                            }
                                          });
    mark(StepPart::kNorm);
    return operand;
  }

  MatmulArgs product(const PackedMatrix& weight, const Operand& x, int64_t num_rows, float* out,
                     int64_t out_stride) const {
    MatmulArgs args;
    args.weight = &weight;
    args.quantized = x.quantized;
    args.dense = x.dense.as<float>();
    args.dense_stride = x.dense_stride;
    args.bf16 = x.bf16.as<uint16_t>();
    args.bf16_stride = x.dense_stride;
    args.num_rows = num_rows;
    args.out = out;
    args.out_stride = out_stride;
    return args;
  }

  // Where this member begins to read a weight that is dealt out alone, and the feed-forward, and a
  // layer: what the product before fetches.
  const uint8_t* first_panel(const PackedMatrix& weight) const {
    return weight.panel(mine(weight.panels()).begin);
  }
  const uint8_t* first_ffn_panel(const LayerWeights& w) const {
    return w.gate.panel(mine(ffn_chunks()).begin * kPanelsPerFfnChunk);
  }
  const uint8_t* first_layer_panel(int layer) const {
    if (layer == model_.num_layers) return first_panel(d_.weights_.output);
    const LayerWeights& w = d_.weights_.layers[layer];
    int64_t panel = mine(w.q.panels() + w.k.panels() + w.v.panels()).begin;
    for (const PackedMatrix* weight : {&w.q, &w.k}) {
      if (panel < weight->panels()) return weight->panel(panel);
      panel -= weight->panels();
    }
    return w.v.panel(panel);
  }

  // This member's panels of a product that adds to the residual stream, itself or its norm.
  void add_to_hidden(const PackedMatrix& weight, const Operand& x,
                     const std::vector<float>& post_norm, const uint8_t* next) {
    const bool direct = post_norm.empty();
    float* out = direct ? hidden(0) : d_.branch_.as<float>();
    MatmulArgs args = product(weight, x, num_rows_, out, model_.d_model);
    args.panels = mine(weight.panels());
    args.add = direct;
    args.next = next;
    d_.kernels_.matmul(args);
    if (!direct) add_norm_to_hidden(post_norm);
  }

  void add_norm_to_hidden(const std::vector<float>& weight) {
    d_.team_.barrier();
    const Range rows = mine(num_rows_);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      float* branch = d_.branch_.as<float>() + row * model_.d_model;
      ops_.rms_norm(branch, weight.data(), model_.rms_epsilon, model_.d_model, branch);
      ops_.add(branch, model_.d_model, hidden(row));
    }
  }

  void attention(int layer) {
    const LayerWeights& w = d_.weights_.layers[layer];
    const Operand& x = attention_inputs(w, forms_of(w.q) | forms_of(w.k) | forms_of(w.v));
    project(w, x);
    sync(StepPart::kQkv);
    rotate_and_store(layer);
    sync(StepPart::kRope);
    attend(layer);
    d_.team_.barrier();
    if (!plan(layer).merges().empty()) {
      merge(plan(layer));
      d_.team_.barrier();
    }
    const Operand& attended = attention_operand(forms_of(w.attention_output));
    mark(StepPart::kAttention);
    add_to_hidden(w.attention_output, attended, w.post_attention_norm, first_ffn_panel(w));
    sync(StepPart::kOutput);
  }

  // q, k and v as one row of panels, dealt out together.
  void project(const LayerWeights& w, const Operand& x) {
    struct Part {
      const PackedMatrix& weight;
      const std::vector<float>& bias;
    };
    const Range share = mine(w.q.panels() + w.k.panels() + w.v.panels());
    int64_t first = 0;
    float* out = query(0, 0);
    for (const auto& [weight, bias] :
         {Part{w.q, w.q_bias}, Part{w.k, w.k_bias}, Part{w.v, w.v_bias}}) {
      MatmulArgs args = product(weight, x, num_rows_, out, d_.qkv_stride_);
      args.panels = {std::clamp<int64_t>(share.begin - first, 0, weight.panels()),
                     std::clamp<int64_t>(share.end - first, 0, weight.panels())};
      if (args.panels.begin < args.panels.end) {
        d_.kernels_.matmul(args);
        if (!bias.empty()) add_bias(args, bias);
      }
      first += weight.panels();
      out += weight.panels() * kPanelRows;
    }
  }

  void add_bias(const MatmulArgs& args, const std::vector<float>& bias) {
    const int64_t column = args.panels.begin * kPanelRows;
    const int64_t count = args.panels.end * kPanelRows - column;
    for (int64_t row = 0; row < num_rows_; ++row) {
      ops_.add(bias.data() + column, count, args.out + row * args.out_stride + column);
    }
  }

  // Rows whose keys share a page go to one member per head: a page's cache lines hold all its
  // positions, and two members writing them would hand each line to and fro.
  void rotate_and_store(int layer) {
    const Range tasks = mine(static_cast<int64_t>(d_.page_rows_.size()) * model_.num_kv_heads);
    for (int64_t task = tasks.begin; task < tasks.end; ++task) {
      const Range rows = d_.page_rows_[task / model_.num_kv_heads];
      const int head = static_cast<int>(task % model_.num_kv_heads);
      for (int64_t row = rows.begin; row < rows.end; ++row) rotate_and_store(layer, row, head);
    }
  }

  void rotate_and_store(int layer, int64_t row, int head) {
    const LayerWeights& w = d_.weights_.layers[layer];
    const int rotary = d_.layer_kinds_[layer].rotary;
    const int group_size = model_.group_size();
    for (int i = 0; i < group_size; ++i) {
      turn(rotary, row, w.q_norm, kLog2E * model_.attention_scale,
           query(row, head * group_size + i));
    }
    turn(rotary, row, w.k_norm, 1.0f, key(row, head));
    const int32_t g = d_.row_group_[row];
    const RowGroup& group = d_.input_->groups[g];
    const int64_t slot = group.first_slot + row - d_.plans_[0].group_row(g);
    const int page = group.pages[slot / kPageTokens];
    d_.attention_->store_key_value(key(row, head), value(row, head), model_.head_dim, slot,
                                   d_.pool_->keys(page, layer, head),
                                   d_.pool_->values(page, layer, head));
  }

  // Normalises a head where the model does, rotates it, and multiplies it by `factor`.
  void turn(int rotary, int64_t row, const std::vector<float>& norm, float factor, float* head) {
    if (!norm.empty()) {
      ops_.rms_norm(head, norm.data(), model_.rms_epsilon, model_.head_dim, head);
    }
    const int64_t rotated = d_.rotaries_[rotary]->rotated();
    const float* cosine = rotation(rotary, row);
    ops_.rope(cosine, cosine + rotated / 2, factor, rotated, head);
    for (int64_t i = rotated; i < model_.head_dim; ++i) head[i] *= factor;
  }

  void attend(int layer) {
    const Range units = plan(layer).units_of(member_);
    for (int64_t i = units.begin; i < units.end; ++i) {
      const bool is_last = i + 1 == units.end;
      attend_unit(layer, plan(layer).unit(i), is_last ? nullptr : &plan(layer).unit(i + 1));
    }
  }

  // The row of the step and the head of a group's query row.
  int64_t query_token(int32_t group, int query_row) const {
    return d_.plans_[0].group_row(group) + query_row / model_.group_size();
  }
  int query_head(int kv_head, int query_row) const {
    return kv_head * model_.group_size() + query_row % model_.group_size();
  }
  float* attended(int64_t row, int head) {
    return d_.attended_.dense.as<float>() + row * d_.attended_.dense_stride +
           head * model_.head_dim;
  }

  // One query row's way through ascending partitions: into the run they belong to, and each run,
  // when the next begins, into the whole.
  struct RowFold {
    AttentionState run{};
    AttentionState whole{};
    float* run_out = nullptr;    // [padded head_dim]
    float* whole_out = nullptr;  // [padded head_dim], or null where nothing goes beyond one run
  };
  void fold(RowFold& row, int32_t partition, const AttentionState& part, const float* out) {
    if (partition % kRunPartitions == 0) close_run(row);
    d_.attention_->merge(row.run, row.run_out, part.maximum, part.sum, out, model_.head_dim);
  }
  void close_run(RowFold& row) {
    if (row.run.sum == 0.0f) return;
    d_.attention_->merge(row.whole, row.whole_out, row.run.maximum, row.run.sum, row.run_out,
                         model_.head_dim);
    row.run = {};
  }

  // `next`: the unit that follows, or null.
  void attend_unit(int layer, const AttentionUnit& unit, const AttentionUnit* next) {
    const int64_t padded = padded_head_dim(model_.head_dim);
    const bool is_partial = unit.partial >= 0;
    AttentionPass pass;
    pass.num_rows = unit.num_queries;
    pass.head_dim = model_.head_dim;
    pass.soft_cap = kLog2E * model_.attention_soft_cap;
    pass.scratch = scratch_.attention.data();
    RowFold folds[kMaxQueryRows];
    for (int r = 0; r < unit.num_queries; ++r) {
      const int64_t row = query_token(unit.group, unit.query_begin + r);
      pass.query[r] = query(row, query_head(unit.kv_head, unit.query_begin + r));
      pass.first[r] = plan(layer).first_seen(d_.positions_[row]);
      pass.last[r] = d_.positions_[row];
      pass.out[r] = scratch_.tile_out.as<float>() + r * padded;
      folds[r].run_out = is_partial ? d_.partials_.as<float>() + (unit.partial + r) * padded
                                    : pass.out[r] + kMaxQueryRows * padded;
      if (!is_partial) folds[r].whole_out = pass.out[r] + 2 * kMaxQueryRows * padded;
    }
    for (int32_t p = unit.partition_begin; p < unit.partition_end; ++p) {
      pass.partition_begin = int64_t{p} * kPartitionTokens;
      find_pages(layer, unit, pass);
      if (p + 1 < unit.partition_end) {
        find_next_pages(layer, unit, p + 1, pass);
      } else if (next != nullptr) {
        find_next_pages(layer, *next, next->partition_begin, pass);
      } else {
        std::fill_n(pass.next_pages, kPagesFetchedAhead, nullptr);
      }
      d_.attention_->pass(pass);
      for (int r = 0; r < unit.num_queries; ++r) {
        fold(folds[r], p, {pass.maximum[r], pass.sum[r]}, pass.out[r]);
      }
    }
    for (int r = 0; r < unit.num_queries; ++r) {
      if (is_partial) {
        d_.partial_states_.as<AttentionState>()[unit.partial + r] = folds[r].run;
      } else {
        finish_row(unit.group, unit.kv_head, unit.query_begin + r, folds[r]);
      }
    }
  }

  void finish_row(int32_t group, int kv_head, int query_row, RowFold& row) {
    close_run(row);
    d_.attention_->finish(row.whole, row.whole_out, model_.head_dim);
    std::copy_n(row.whole_out, model_.head_dim,
                attended(query_token(group, query_row), query_head(kv_head, query_row)));
  }

  // Pages of the pool, and for the positions a tree's row does not share, pages gathered for it.
  void find_pages(int layer, const AttentionUnit& unit, AttentionPass& pass) {
    const RowGroup& group = d_.input_->groups[unit.group];
    const int64_t first_page = pass.partition_begin / kPageTokens;
    const int64_t first = *std::min_element(pass.first, pass.first + unit.num_queries);
    // The last row of a chain reads furthest; a tree's unit has one last position.
    const int64_t last = pass.last[unit.num_queries - 1];
    const int64_t whole_pages =
        group.parents != nullptr ? group.first_slot / kPageTokens : last / kPageTokens + 1;
    const auto skipped = static_cast<int>(std::max<int64_t>(0, first / kPageTokens - first_page));
    for (int i = skipped; i < kPagesPerPartition && (first_page + i) * kPageTokens <= last; ++i) {
      if (first_page + i < whole_pages) {
        const int page = group.pages[first_page + i];
        pass.key_pages[i] = d_.pool_->keys(page, layer, unit.kv_head);
        pass.value_pages[i] = d_.pool_->values(page, layer, unit.kv_head);
      } else {
        gather_page(layer, unit, first_page + i, i, pass);
      }
    }
  }

  // Where a pass over `partition` will begin to read. A tree's last pages, which are gathered, may
  // be guessed wrong.
  void find_next_pages(int layer, const AttentionUnit& unit, int32_t partition,
                       AttentionPass& pass) {
    const RowGroup& group = d_.input_->groups[unit.group];
    const int64_t row = query_token(unit.group, unit.query_begin);
    const int64_t first =
        std::max(plan(layer).first_seen(d_.positions_[row]), int64_t{partition} * kPartitionTokens);
    for (int i = 0; i < kPagesFetchedAhead; ++i) {
      const size_t page = first / kPageTokens + i;
      const bool is_there = page < group.pages.size();
      pass.next_pages[i] =
          is_there ? d_.pool_->keys(group.pages[page], layer, unit.kv_head) : nullptr;
    }
  }

  // One page of a tree row's own positions: what is committed, its ancestors, itself.
  void gather_page(int layer, const AttentionUnit& unit, int64_t position_page, int index,
                   AttentionPass& pass) {
    const RowGroup& group = d_.input_->groups[unit.group];
    const KvType type = d_.attention_->stored;
    const int64_t bytes = page_head_bytes(type, model_.head_dim);
    uint8_t* keys = scratch_.tail_pages.data() + 2 * index * bytes;
    uint8_t* values = keys + bytes;
    const int64_t begin = position_page * kPageTokens;
    int token = unit.query_begin / model_.group_size();
    const auto copy = [&](int64_t position, int64_t slot) {
      const int page = group.pages[slot / kPageTokens];
      copy_page_slot(type, d_.pool_->keys(page, layer, unit.kv_head),
                     d_.pool_->values(page, layer, unit.kv_head), slot % kPageTokens, keys, values,
                     position % kPageTokens, model_.head_dim);
    };
    for (int64_t position = pass.last[0]; position >= group.first_slot && position >= begin;
         --position) {
      if (position < begin + kPageTokens) copy(position, group.first_slot + token);
      token = group.parents[token];
    }
    for (int64_t p = begin; p < std::min(group.first_slot, begin + kPageTokens); ++p) copy(p, p);
    pass.key_pages[index] = keys;
    pass.value_pages[index] = values;
  }

  void merge(const AttentionPlan& plan) {
    int64_t num_rows = 0;
    for (const AttentionMerge& merge : plan.merges()) num_rows += merge.num_queries;
    const Range rows = mine(num_rows);
    int64_t first = 0;
    for (const AttentionMerge& merge : plan.merges()) {
      const int64_t begin = std::max<int64_t>(rows.begin - first, 0);
      const int64_t end = std::min<int64_t>(rows.end - first, merge.num_queries);
      for (int64_t r = begin; r < end; ++r) {
        merge_row(plan, merge, merge.query_begin + static_cast<int>(r));
      }
      first += merge.num_queries;
    }
  }

  void merge_row(const AttentionPlan& plan, const AttentionMerge& merge, int query_row) {
    RowFold row;
    row.run_out = scratch_.tile_out.as<float>();
    row.whole_out = row.run_out + padded_head_dim(model_.head_dim);
    fold_units(plan, merge.shared_units, query_row, row);
    fold_units(plan, merge.tail_units, query_row, row);
    finish_row(merge.group, merge.kv_head, query_row, row);
  }

  void fold_units(const AttentionPlan& plan, Range units, int query_row, RowFold& row) {
    const int64_t padded = padded_head_dim(model_.head_dim);
    for (int64_t i = units.begin; i < units.end; ++i) {
      const AttentionUnit& unit = plan.unit(i);
      const int64_t index = unit.partial + query_row - unit.query_begin;
      fold(row, unit.partition_begin, d_.partial_states_.as<AttentionState>()[index],
           d_.partials_.as<float>() + index * padded);
    }
  }

  const Operand& attention_operand(OperandForms forms) {
    if (!forms.int8 && !forms.bf16) return d_.attended_;
    const int64_t columns = model_.q_dim();
    return prepare_rows(d_.attended_, num_rows_, columns, forms, [&](int64_t row, float* out) {
      const float* source = attended(row, 0);
      if (out != source) std::copy_n(source, columns, out);
    });
  }

  int64_t ffn_chunks() const { return (model_.d_ff + kFfnChunk - 1) / kFfnChunk; }

  void feed_forward(int layer) {
    const LayerWeights& w = d_.weights_.layers[layer];
    const Operand& x = norm(w.ffn_norm, forms_of(w.gate) | forms_of(w.up));
    const OperandForms forms = forms_of(w.down);
    const Range chunks = mine(ffn_chunks());
    for (int64_t chunk = chunks.begin; chunk < chunks.end; ++chunk) {
      gate_and_up(w, x, chunk, chunk + 1 == chunks.end);
      activate(chunk, forms);
    }
    d_.team_.barrier();
    add_to_hidden(w.down, d_.activated_, w.post_ffn_norm, first_layer_panel(layer + 1));
    sync(StepPart::kFfn);
  }

  void gate_and_up(const LayerWeights& w, const Operand& x, int64_t chunk, bool is_last) {
    float* gate = scratch_.gate_up.as<float>();
    const Range panels = {chunk * kPanelsPerFfnChunk,
                          std::min((chunk + 1) * kPanelsPerFfnChunk, w.gate.panels())};
    MatmulArgs args = product(w.gate, x, num_rows_, gate, 2 * kFfnChunk);
    args.panels = panels;
    args.first_column = chunk * kFfnChunk;
    args.next = w.up.panel(panels.begin);
    d_.kernels_.matmul(args);
    args.weight = &w.up;
    args.out = gate + kFfnChunk;
    args.next = is_last ? first_panel(w.down) : w.gate.panel(panels.end);
    d_.kernels_.matmul(args);
  }

  void activate(int64_t chunk, OperandForms forms) {
    const auto gated_mul =
        model_.activation == Activation::kSilu ? ops_.silu_mul : ops_.gelu_tanh_mul;
    const QuantizedRows& quantized = d_.activated_.quantized;
    const int64_t blocks = quantized.blocks();
    for (int64_t row = 0; row < num_rows_; ++row) {
      const float* gate = scratch_.gate_up.as<float>() + row * 2 * kFfnChunk;
      float* out = d_.activated_.dense.as<float>() + row * d_.act_stride_ + chunk * kFfnChunk;
      gated_mul(gate, gate + kFfnChunk, kFfnChunk, out);
      if (forms.bf16) {
        ops_.round_row(
            out, std::min(kFfnChunk, model_.d_ff - chunk * kFfnChunk),
            d_.activated_.bf16.as<uint16_t>() + row * d_.act_stride_ + chunk * kFfnChunk);
      }
      if (!forms.int8) continue;
      const int64_t block = row * blocks + chunk;
      ops_.quantize_row(out, kFfnChunk,
                        {quantized.values + row * quantized.columns + chunk * kFfnChunk,
                         quantized.scale + block, quantized.sum + block,
                         quantized.scaled_sum + block, quantized.half_sum + 2 * block, kFfnChunk});
    }
  }

  void logits() {
    if (d_.input_->tap != nullptr && d_.input_->tap->final_normed != nullptr) {
      const Range rows = mine(num_rows_);
      for (int64_t row = rows.begin; row < rows.end; ++row) {
        ops_.rms_norm(hidden(row), d_.weights_.output_norm.data(), model_.rms_epsilon,
                      model_.d_model, d_.input_->tap->final_normed + row * model_.d_model);
      }
    }
    const std::span<const int32_t> rows = d_.input_->logit_rows;
    if (rows.empty()) return;
    const PackedMatrix& weight = d_.weights_.output;
    const auto num_rows = static_cast<int64_t>(rows.size());
    const Operand& x = prepare_rows(d_.normed_, num_rows, model_.d_model, forms_of(weight),
                                    [&](int64_t i, float* out) {
                                      ops_.rms_norm(hidden(rows[i]), d_.weights_.output_norm.data(),
                                                    model_.rms_epsilon, model_.d_model, out);
                                    });
    MatmulArgs args = product(weight, x, num_rows, d_.logits(0), d_.logits_stride_);
    args.panels = mine(weight.panels());
    d_.kernels_.matmul(args);
    if (model_.logit_soft_cap > 0.0f) cap_logits(num_rows, args.panels);
    sync(StepPart::kLogits);
  }

  void cap_logits(int64_t num_rows, Range panels) {
    const int64_t column = panels.begin * kPanelRows;
    const int64_t count = (panels.end - panels.begin) * kPanelRows;
    for (int64_t row = 0; row < num_rows; ++row) {
      ops_.soft_cap(model_.logit_soft_cap, count, d_.logits(row) + column);
    }
  }

  Decoder& d_;
  const ModelDescriptor& model_;
  const RowOps& ops_;
  MemberScratch& scratch_;
  const int member_;
  const int team_size_;
  const int64_t num_rows_;
  const bool timing_;
  double last_time_;
};

void Decoder::step(const StepInput& input, KvPool& pool) {
  if (input.tokens.empty()) return;
  const double begin = profiling_ ? now_seconds() : 0.0;
  prepare(input, pool);
  input_ = &input;
  pool_ = &pool;
  attention_ = &kernels_.attention(pool.shape().type);
  if (profiling_) profile_[static_cast<size_t>(StepPart::kPrepare)] += now_seconds() - begin;
  team_.run([&](int member) { Region(*this, member).run(); });
}

}  // namespace forerun
