#pragma once

#include <string>

#include "base/result.h"
#include "models/model.h"

namespace forerun {

// Leaves in a folder what heads are trained with beside records, so that a trainer needs neither
// the model's file nor its format:
//
//   target.json         sizes, the layers whose inputs are recorded, the weights' fingerprint
//   target.safetensors  embed_tokens.weight [vocab_size, d_model], output.weight likewise where it
//                       is another, norm.weight [d_model]; bf16, norms f32
//
// What is there already stays if it is this target's. An Error names the file: of another target,
// or that cannot be written.
Status write_target(const std::string& folder, const Model& target);

// Whether they are there, of this target. An Error says which they are not.
Status check_target(const std::string& folder, const Model& target);

}  // namespace forerun
