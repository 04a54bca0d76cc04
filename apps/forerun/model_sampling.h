#pragma once

#include "base/result.h"
#include "commands.h"
#include "formats/model_files.h"
#include "sampling/params.h"

namespace forerun {

// Where the command line says nothing, takes what the model's own generation_config.json says (as
// transformers and vLLM do). An Error names the file and the value.
Status use_model_sampling(const ModelFiles& files, const CLI::App& command,
                          SamplingParams& sampling);

}  // namespace forerun
