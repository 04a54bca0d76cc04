#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "aten.h"
#include "base/json.h"
#include "base/result.h"
#include "formats/eagle3_checkpoint.h"
#include "formats/safetensors.h"
#include "head.h"

namespace forerun {

// What a trainer knows of the model that heads draft for: target.json and target.safetensors of a
// folder of traces (src/online/target_files.h).
struct LearningTarget {
  std::string name;
  uint64_t fingerprint = 0;  // of its weights, which every record names
  int64_t vocab_size = 0;
  int64_t context_length = 0;
  std::array<int, kEagle3States> state_layers = {};
  bool usual_layers = true;  // state_layers are those that a head reads which names none
  Json bos_id, eos_ids;      // as in target.json; null: not there
  HeadSizes sizes;           // of its heads; draft_vocab_size is 0

  // Only read; they lie in the file.
  at::Tensor embedding;  // [vocab_size, d_model]
  at::Tensor output;     // [vocab_size, d_model]
  at::Tensor norm;       // [d_model]
  std::shared_ptr<const Safetensors> file;
};

// An Error names the file, and the key or tensor.
Result<LearningTarget> read_target(const std::string& folder);

}  // namespace forerun
