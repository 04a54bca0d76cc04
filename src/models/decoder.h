#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "cache/kv_pool.h"
#include "kernels/kernel_table.h"
#include "models/attention_plan.h"
#include "models/descriptor.h"
#include "models/step.h"
#include "models/weights.h"
#include "tensor/arena.h"

namespace forerun {

// The parts of a step a profile tells apart, as the first team member lives them: waiting for the
// others counts to the part before the barrier.
enum class StepPart : uint8_t { kPrepare, kNorm, kQkv, kRope, kAttention, kOutput, kFfn, kLogits };
constexpr std::array<std::string_view, 8> kStepPartNames = {
    "prepare",   "norm+quantise",    "qkv", "rope+store",
    "attention", "attention output", "ffn", "logits"};

// The layers whose inputs a speculator usually reads, ascending: 2, n/2, n−3, each clamped to 0 …
// n−1; where these are not three different ones, 1, n/2, n−1.
std::array<int, kNumTaps> tap_layers(int num_layers);

// What a page of the model's keys and values holds; no side arrays.
KvShape kv_shape(const ModelDescriptor& model, KvType type);

// The shared decoder: tokens in, logits out, keys and values into the pool. One step at a time, on
// the calling thread and its team; nothing is allocated after construction.
class Decoder final {
 public:
  struct Limits {
    int max_rows = 512;       // of a step
    int max_logit_rows = 64;  // of a step
  };

  // Borrows everything.
  Decoder(const ModelDescriptor& model, const ModelWeights& weights, const KernelTable& kernels,
          Team& team, Limits limits);

  // Runs one forward pass. Every token id is in the vocabulary, every page in the pool, and the
  // pages cover the groups' slots (CHECKed: the engine has validated requests before). The pool
  // says how keys and values are stored.
  void step(const StepInput& input, KvPool& pool);

  // Logits of the i-th of the last step's logit_rows: [vocab_size], overwritten by the next step.
  // The caller may write there.
  float* logits(int64_t i) { return logits_.as<float>() + i * logits_stride_; }

  // Takes the memory of all steps from the kernel now: the first ones would wait for it.
  void commit_memory() { arena_.commit(); }

  const Limits& limits() const { return limits_; }
  const ModelDescriptor& model() const { return model_; }
  const KernelTable& kernels() const { return kernels_; }
  Team& team() { return team_; }

  // Seconds per part since construction or the last reset, when profiling is on.
  void set_profiling(bool on) { profiling_ = on; }
  const std::array<double, kStepPartNames.size()>& profile() const { return profile_; }
  void reset_profile() { profile_.fill(0.0); }

 private:
  class Region;  // one member's walk through a step

  void plan_layers();
  void prepare(const StepInput& input, const KvPool& pool);

  const ModelDescriptor& model_;
  const ModelWeights& weights_;
  const KernelTable& kernels_;
  Team& team_;
  const Limits limits_;
  const int64_t logits_stride_;
  const int64_t qkv_stride_;  // floats: q, k, v, each up to a whole panel
  const int64_t act_stride_;  // d_ff up to a whole block
  // What layers share: a plan for each width of window, one or two rotations.
  std::vector<AttentionPlan> plans_;
  std::vector<const RotaryEmbedding*> rotaries_;
  struct LayerKind {
    int plan;
    int rotary;
  };
  std::vector<LayerKind> layer_kinds_;  // [num_layers]

  // Per step.
  const StepInput* input_ = nullptr;
  KvPool* pool_ = nullptr;
  const AttentionOps* attention_ = nullptr;  // for the pool's type
  std::vector<int64_t> positions_;           // [rows]
  std::vector<int32_t> row_group_;           // [rows]
  std::vector<Range> page_rows_;             // the rows again, those of one group and page together

  // Activations, all of them in the arena. "Operand" pieces hold a product's left side: as floats,
  // and where a weight reads them so quantised or rounded to bf16.
  Arena arena_;
  struct Operand {
    ArenaPiece values, scale, sum, scaled_sum, half_sum, dense, bf16;
    QuantizedRows quantized;
    int64_t dense_stride = 0;  // of bf16 too
  };
  Operand make_operand(int64_t rows, int64_t columns);

  ArenaPiece hidden_;          // [max_rows, d_model] the residual stream
  ArenaPiece embedded_;        // [max_rows, d_model] tokens, where rows come with states
  Operand state_inputs_;       // [max_rows, state_inputs]
  Operand joined_;             // [max_rows, 2 · d_model] token and state, normalised
  Operand normed_;             // [max_rows, d_model]
  Operand attended_;           // [max_rows, q_dim]
  Operand activated_;          // [max_rows, d_ff]
  ArenaPiece qkv_;             // [max_rows, qkv_stride]
  ArenaPiece branch_;          // [max_rows, d_model] what is normalised before it joins hidden_
  ArenaPiece rotations_;       // [rotaries, max_rows, head_dim] cosines, then sines
  ArenaPiece partials_;        // [partial_capacity, padded head_dim]
  ArenaPiece partial_states_;  // [partial_capacity] AttentionState
  ArenaPiece logits_;
  struct MemberScratch {
    ArenaPiece attention;   // attention_scratch_bytes
    ArenaPiece tail_pages;  // one partition of one head's keys and values, gathered
    ArenaPiece tile_out;    // [kMaxQueryRows, padded head_dim] thrice: partition, run, whole
    ArenaPiece gate_up;     // [max_rows, 2 · 32]
    Operand rows;           // a few rows every member prepares for itself
  };
  std::vector<MemberScratch> scratch_;

  bool profiling_ = false;
  std::array<double, kStepPartNames.size()> profile_{};
};

}  // namespace forerun
