#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/kv_pool.h"
#include "loaded_model.h"
#include "models/decoder.h"
#include "sampling/sampler.h"

namespace forerun {

// Times steps of the decoder over sequences whose earlier keys and values are already there: the
// forward pass, and the greedy choice of a token from each row of logits, shared by the team. No
// scheduling, no callbacks.
class StepBench final {
 public:
  struct Sizes {
    int sequences = 1;
    int64_t sequence_tokens = 1;  // of the longest
    int rows = 1;                 // of one sequence in a step
    KvType kv_type = KvType::kF16;
  };
  // An Error when keys and values would take more than half of the machine's memory.
  static Result<std::unique_ptr<StepBench>> create(const LoadedModel& loaded, Sizes sizes);

  struct Timing {
    double seconds = 0.0;  // median
    int repetitions = 0;
  };
  // Steps of `sequences` sequences with `rows` rows each behind `depth` tokens, all logits wanted.
  // One step to warm up, then `steps` are timed one by one; fewer when they take too long.
  Timing time_steps(int sequences, int rows, int64_t depth, int steps);
  // Prefilling `tokens` tokens from nothing, in chunks as the engine makes them, and the first
  // answer token.
  Timing time_prefill(int64_t tokens, int repetitions);

  Decoder& decoder() { return decoder_; }
  // Bytes of keys and values that a sequence at `depth` reads in a step.
  double kv_bytes(int64_t depth) const;

 private:
  StepBench(const LoadedModel& loaded, Sizes sizes);

  template <typename Run>
  Timing time(int repetitions, Run run);
  void step(int sequences, int rows, int64_t depth, bool all_logits);
  void sample_all(int64_t count);
  std::span<const float> logits(int64_t row);
  void fill_keys_and_values(const AttentionOps& attention);

  const ModelDescriptor& model_;
  Team& team_;
  const int pages_per_sequence_;
  KvPool pool_;
  Decoder decoder_;
  std::vector<std::unique_ptr<SamplerWorkspace>> workspaces_;  // one a team member
  std::vector<int32_t> tokens_;
  std::vector<int32_t> pages_;
  std::vector<RowGroup> groups_;
  std::vector<int32_t> logit_rows_;
};

// Tokens that depend on nothing but their index.
std::vector<int32_t> random_tokens(int64_t count, int64_t vocab_size);

double median(std::vector<double> values);

}  // namespace forerun
