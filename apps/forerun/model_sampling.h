#pragma once

#include "base/result.h"
#include "commands.h"
#include "formats/model_files.h"
#include "sampling/params.h"
#include "sampling/sampling_defaults.h"

namespace forerun {

// What the model's makers advise, where they do: in generation_config.json. An Error names the file
// and the value.
Result<SamplingDefaults> advised_sampling(const ModelFiles& files);

// Where the command line says nothing, takes what the model's own generation_config.json says (as
// transformers and vLLM do). An Error names the file and the value.
Status use_model_sampling(const ModelFiles& files, const CLI::App& command,
                          SamplingParams& sampling);

}  // namespace forerun
