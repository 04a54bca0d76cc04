#pragma once

#include <memory>
#include <string>

#include "base/parallel.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "models/descriptor.h"
#include "models/weights.h"

namespace forerun {

// A loaded model: the open file (its embedding is read in place), what it is, and its packed
// weights.
class Model final {
 public:
  static Result<std::unique_ptr<Model>> load(const std::string& path, Team& team,
                                             const LoadProgress& progress = {});
  // From a file already open.
  static Result<std::unique_ptr<Model>> load(Gguf file, Team& team,
                                             const LoadProgress& progress = {});

  const Gguf& file() const { return file_; }
  const ModelDescriptor& descriptor() const { return descriptor_; }
  const ModelWeights& weights() const { return weights_; }

 private:
  explicit Model(Gguf file) : file_(std::move(file)) {}

  Gguf file_;
  ModelDescriptor descriptor_;
  ModelWeights weights_;
};

}  // namespace forerun
