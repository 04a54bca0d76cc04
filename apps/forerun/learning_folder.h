#pragma once

#include <string>

#include "base/result.h"

namespace forerun {

// What a model is called that is given as MODEL: "smollm2-135m" of a short name, "model" of
// /models/model.gguf.
std::string model_name(const std::string& model);

// Where what is learned of a model's traffic lies where nobody says otherwise:
// <folder of pulled models>/learning/<its name>. An Error: the environment names no such folder.
Result<std::string> learning_folder(const std::string& model);

}  // namespace forerun
