#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "formats/eagle3_checkpoint.h"
#include "models/descriptor.h"
#include "models/model.h"
#include "models/step.h"
#include "models/weights.h"

namespace forerun {

// An EAGLE-3 head: one decoder layer that drafts for a larger model, its target. At position p it
// reads the token at p + 1 and a state, and predicts the token at p + 2. The state is projected
// from what three layers of the target read at p, or, further ahead, is the head's own output.
//
// The layer is the shared decoder's (ModelDescriptor::state_inputs).
class Eagle3Head final {
 public:
  // Positions it attends to, so that filling its keys and values anew is bounded.
  static constexpr int64_t kWindow = 512;
  // How matrices are kept: as int8 (Q8_0, where their rows are of whole blocks), or as they come.
  enum class Precision : uint8_t { kInt8, kStored };

  // Borrows the target: its embedding and its output matrix, where the head has none. An Error
  // says what does not fit it.
  static Result<std::unique_ptr<Eagle3Head>> load(const std::string& folder, const Model& target,
                                                  Team& team);
  static Result<std::unique_ptr<Eagle3Head>> load(Eagle3Checkpoint checkpoint, const Model& target,
                                                  Team& team,
                                                  Precision precision = Precision::kInt8);

  const ModelDescriptor& descriptor() const { return descriptor_; }
  const ModelWeights& weights() const { return weights_; }
  // Of the target, whose inputs it reads.
  const std::array<int, kNumTaps>& state_layers() const { return state_layers_; }
  // The target's token of each logit; empty: the same ids.
  const std::vector<int32_t>& token_of() const { return checkpoint_.token_of(); }

 private:
  explicit Eagle3Head(Eagle3Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {}
  Status describe(const Model& target);

  Eagle3Checkpoint checkpoint_;  // its embedding is read in place
  ModelDescriptor descriptor_;
  ModelWeights weights_;
  std::array<int, kNumTaps> state_layers_ = {};
};

}  // namespace forerun
